// An editor's side of `smolvm lsp`, spoken by the libraries that VS Code itself uses: a whole session, in a real folder.
//
// node lsp.mjs PROGRAM FOLDER: ends with 0 where everything was as expected, and prints what was not.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import rpc from "vscode-jsonrpc/node.js";
import lsp from "vscode-languageserver-protocol";

const [program, folder] = process.argv.slice(2);
const patience = 60_000;

/** A server and the editor that talks to it. */
class Session {
  constructor() {
    this.child = spawn(program, ["lsp", "--stdio", `--clientProcessId=${process.pid}`], { cwd: folder });
    this.ended = new Promise((resolve) => this.child.on("close", resolve));
    this.errors = "";
    this.child.stderr.on("data", (data) => (this.errors += data));
    const reader = new rpc.StreamMessageReader(this.child.stdout);
    this.connection = rpc.createMessageConnection(reader, new rpc.StreamMessageWriter(this.child.stdin));
    // Anything on standard output that is not the protocol comes here.
    this.strays = [];
    this.connection.onError(([error]) => this.strays.push(error));
    this.said = new Map();
    this.publications = 0;
    this.waiting = [];
    this.connection.onNotification(lsp.PublishDiagnosticsNotification.type, (params) => {
      this.publications += 1;
      this.said.set(params.uri, params);
      this.waiting = this.waiting.filter((wake) => !wake());
    });
    this.registered = [];
    this.connection.onRequest(lsp.RegistrationRequest.type, (params) => {
      this.registered.push(...params.registrations);
    });
    this.connection.listen();
    this.versions = new Map();
  }

  async begin(processId = process.pid) {
    const result = await this.ask(lsp.InitializeRequest.type, {
      processId,
      rootUri: uri("."),
      workspaceFolders: [{ uri: uri("."), name: "project" }],
      capabilities: {
        general: { positionEncodings: ["utf-16"] },
        workspace: {
          workspaceEdit: { documentChanges: true },
          didChangeWatchedFiles: { dynamicRegistration: true },
        },
        textDocument: { publishDiagnostics: { relatedInformation: true, versionSupport: true } },
      },
    });
    await this.connection.sendNotification(lsp.InitializedNotification.type, {});
    return result;
  }

  ask(type, params) {
    return within(this.connection.sendRequest(type, params), type.method ?? type);
  }

  tell(type, params) {
    return this.connection.sendNotification(type, params);
  }

  open(name, text) {
    this.versions.set(name, 1);
    const textDocument = { uri: uri(name), languageId: "yaml", version: 1, text };
    return this.tell(lsp.DidOpenTextDocumentNotification.type, { textDocument });
  }

  change(name, ...contentChanges) {
    const version = this.versions.get(name) + 1;
    this.versions.set(name, version);
    const params = { textDocument: { uri: uri(name), version }, contentChanges };
    return this.tell(lsp.DidChangeTextDocumentNotification.type, params);
  }

  save(name) {
    return this.tell(lsp.DidSaveTextDocumentNotification.type, { textDocument: { uri: uri(name) } });
  }

  codes(name) {
    return (this.said.get(uri(name))?.diagnostics ?? []).map((one) => one.code).join(" ");
  }

  /** Waits until a document has remarks with these codes. */
  async codesBecome(name, wanted) {
    const done = new Promise((resolve) => {
      const wake = () => this.said.has(uri(name)) && this.codes(name) === wanted && (resolve(), true);
      if (!wake()) this.waiting.push(wake);
    });
    await within(done, `codes of ${name} to be "${wanted}"`, () => `they are "${this.codes(name)}"`);
    return this.said.get(uri(name)).diagnostics;
  }

  async end() {
    assert.equal(await this.ask(lsp.ShutdownRequest.type), null);
    await this.tell(lsp.ExitNotification.type);
    assert.equal(await within(this.ended, "the server to end"), 0);
    assert.deepEqual(this.strays, []);
    assert.equal(this.errors, "");
  }
}

function within(promise, what, more = () => "") {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited too long for ${what} ${more()}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const uri = (name) => (name.includes(":") ? name : pathToFileURL(join(folder, name)).href);
const write = (name, text) => writeFileSync(join(folder, name), text);

/** A text with its cursor `|` taken out, and the place of it, in UTF-16 as the protocol counts. */
function cursor(marked) {
  const before = marked.slice(0, marked.indexOf("|"));
  const lines = before.split("\n");
  const position = { line: lines.length - 1, character: lines.at(-1).length };
  return { text: before + marked.slice(before.length + 1), position };
}

const at = (name, position) => ({ textDocument: { uri: uri(name) }, position });

function apply(text, edits) {
  const offset = ({ line, character }) =>
    text.split("\n").slice(0, line).reduce((sum, one) => sum + one.length + 1, 0) + character;
  const late = [...edits].sort((a, b) => offset(b.range.start) - offset(a.range.start));
  return late.reduce(
    (made, edit) => made.slice(0, offset(edit.range.start)) + edit.newText + made.slice(offset(edit.range.end)),
    text,
  );
}

async function remarks() {
  const session = new Session();
  await assert.rejects(session.ask("textDocument/hover", {}), { code: -32002 });
  const { capabilities, serverInfo } = await session.begin();
  assert.equal(capabilities.positionEncoding, "utf-16");
  assert.equal(serverInfo.name, "smolvm");
  await assert.rejects(session.ask("smolvm/unknown", {}), { code: -32601 });

  const name = "smolvm.yaml";
  await session.open(name, "machines:\n  a:\n    mounts: [ './🙂:/x', './src:/data', './src:/data/' ]\nsteps: [{ run: x }]\n");
  const [missing, twice] = await session.codesBecome(name, "SMOL0109 SMOL0101");
  assert.deepEqual(missing.range.start, { line: 2, character: 15 });
  assert.deepEqual(twice.range.start.line, 2);
  assert.match(twice.message, /help: /);
  assert.equal(twice.relatedInformation[0].location.uri, uri(name));
  assert.equal(session.said.get(uri(name)).version, 1);
  assert.equal(session.registered[0].method, "workspace/didChangeWatchedFiles");

  mkdirSync(join(folder, "🙂"));
  const changes = [{ uri: uri("🙂"), type: lsp.FileChangeType.Created }];
  await session.tell(lsp.DidChangeWatchedFilesNotification.type, { changes });
  await session.codesBecome(name, "SMOL0101");
  rmSync(join(folder, "🙂"), { recursive: true });
  await session.save(name);
  await session.codesBecome(name, "SMOL0109 SMOL0101");

  await session.tell(lsp.DidCloseTextDocumentNotification.type, { textDocument: { uri: uri(name) } });
  await session.codesBecome(name, "");
  await session.end();
}

async function typing() {
  const session = new Session();
  await session.begin();
  const name = "with space/smolvm.yaml";
  await session.open(name, "");
  await session.codesBecome(name, "SMOL0006");
  // Every letter is a change of its own, as fast as they can be sent.
  const text = `machines:\n  build:\n    image: host\nsteps:\n${"  - { run: make }\n".repeat(40)}`;
  let position = { line: 0, character: 0 };
  const before = session.publications;
  for (const letter of text) {
    session.change(name, { range: { start: position, end: position }, text: letter });
    position = letter === "\n" ? { line: position.line + 1, character: 0 } : { ...position, character: position.character + 1 };
  }
  await session.codesBecome(name, "");
  assert.ok(session.publications - before <= 10, `${text.length} changes made ${session.publications - before} publications`);

  const half = cursor(`machines:\n  build:\n    image: host\n    me|\nsteps:\n  - machine: build\n    run: "🙂"\n`);
  await session.change(name, { text: half.text });
  const offered = await session.ask(lsp.CompletionRequest.type, at(name, half.position));
  const memory = offered.items.find((item) => item.label === "memory");
  assert.match(memory.documentation.value, /1GiB/);
  const made = apply(half.text, [memory.textEdit]);
  assert.match(made, /\n {4}memory: \nsteps/);

  const value = cursor(`machines:\n  build:\n    image: host\nsteps:\n  - machine: |\n    run: "🙂"\n`);
  await session.change(name, { text: value.text });
  const names = await session.ask(lsp.CompletionRequest.type, at(name, value.position));
  assert.deepEqual(names.items.map((item) => item.label), ["build"]);
  await session.end();
}

async function questions() {
  const session = new Session();
  await session.begin();
  const name = "smolvm.yaml";
  const text = `services:\n  build: { image: host, memry: 2GiB }\nsteps:\n  - { run: "echo 🙂", machine: build }\n`;
  await session.open(name, text);
  await session.codesBecome(name, "SMOL0003 SMOL0003");
  const use = cursor(text.replace("machine: build", "machine: bu|ild")).position;
  const range = { start: { line: 0, character: 0 }, end: { line: 4, character: 0 } };
  const context = (only) => ({ diagnostics: [], only: [only] });
  const fixes = await session.ask(lsp.CodeActionRequest.type, { textDocument: { uri: uri(name) }, range, context: context("quickfix") });
  assert.equal(fixes[0].title, "Replace `services` with `machines`");
  assert.equal(fixes[0].isPreferred, true);
  const [all] = await session.ask(lsp.CodeActionRequest.type, { textDocument: { uri: uri(name) }, range, context: context("source.fixAll") });
  const [{ textDocument, edits }] = all.edit.documentChanges;
  assert.deepEqual(textDocument, { uri: uri(name), version: 1 });
  const mended = apply(text, edits);
  await session.change(name, { text: mended });
  await session.codesBecome(name, "");
  assert.match(mended, /^machines:\n {2}build: { image: host, memory: 2GiB }/);

  const hover = await session.ask(lsp.HoverRequest.type, at(name, use));
  assert.match(hover.contents.value, /^machine `build`\n\nimage `host`/);
  const [declared] = await session.ask(lsp.DefinitionRequest.type, at(name, use));
  assert.deepEqual(declared, { uri: uri(name), range: { start: { line: 1, character: 2 }, end: { line: 1, character: 7 } } });
  const edit = await session.ask(lsp.RenameRequest.type, { ...at(name, use), newName: "maker" });
  const renamed = apply(mended, edit.documentChanges[0].edits);
  assert.match(renamed, /maker: { image/);
  assert.match(renamed, /🙂", machine: maker }/);
  const symbols = await session.ask(lsp.DocumentSymbolRequest.type, { textDocument: { uri: uri(name) } });
  assert.deepEqual(symbols.map((symbol) => symbol.name), ["machines", "steps"]);
  await session.end();
}

async function parts() {
  mkdirSync(join(folder, "ci"));
  write("smolvm.yaml", "include: [./ci/base.yaml]\nsteps: [{ run: x, machine: build }]\n");
  write("ci/base.yaml", "machines: { build: { image: host } }\n");
  write(".env", "???\n");
  const session = new Session();
  await session.begin();
  // A part is checked with the file that includes it, and that one is not even open.
  await session.open("ci/base.yaml", "machines: { build: { imgae: host } }\n");
  await session.codesBecome("ci/base.yaml", "SMOL0003");
  await session.codesBecome(".env", "SMOL0304");
  assert.equal(session.codes("smolvm.yaml"), "");
  // What is not saved counts for the file that includes it.
  await session.open("smolvm.yaml", "include: [./ci/base.yaml]\nsteps: [{ run: x, machine: build }]\n");
  await session.change("ci/base.yaml", { text: "machines: { other: { image: host } }\n" });
  await session.codesBecome("smolvm.yaml", "SMOL0201");
  await session.change("ci/base.yaml", { text: "machines: { build: { image: host } }\n" });
  await session.codesBecome("smolvm.yaml", "");
  const use = cursor("include: [./ci/base.yaml]\nsteps: [{ run: x, machine: bu|ild }]\n").position;
  const [declared] = await session.ask(lsp.DefinitionRequest.type, at("smolvm.yaml", use));
  assert.equal(declared.uri, uri("ci/base.yaml"));
  const [file] = await session.ask(lsp.DefinitionRequest.type, at("smolvm.yaml", { line: 0, character: 14 }));
  assert.equal(file.uri, uri("ci/base.yaml"));
  await session.open("untitled:Untitled-1", "machines: { a: { imgae: host } }\nsteps: [{ run: x }]\n");
  await session.codesBecome("untitled:Untitled-1", "SMOL0003");
  await session.end();
  rmSync(join(folder, ".env"));
}

async function ends() {
  const gone = new Session();
  await gone.begin();
  gone.child.stdin.end();
  assert.equal(await within(gone.ended, "the end of a server whose input ended"), 1);

  const left = new Session();
  await left.begin();
  await left.tell(lsp.ExitNotification.type);
  assert.equal(await within(left.ended, "the end without shutdown"), 1);

  const editor = spawn("sleep", ["600"]);
  const orphan = new Session();
  await orphan.begin(editor.pid);
  editor.kill("SIGKILL");
  assert.equal(await within(orphan.ended, "the end after the editor's"), 1);

  const raw = spawn(program, ["lsp"], { cwd: folder });
  const answers = [];
  raw.stdout.on("data", (data) => answers.push(data));
  const closed = new Promise((resolve) => raw.on("close", resolve));
  raw.stdin.end("Content-Length: 9\r\n\r\nnonsense!Content-Length: 2\r\n\r\n[]");
  assert.equal(await within(closed, "the end of nonsense"), 1);
  assert.match(Buffer.concat(answers).toString(), /"code":-32700[^]*"id":null[^]*"code":-32600/);
}

mkdirSync(join(folder, "src"));
mkdirSync(join(folder, "with space"));
for (const scenario of [remarks, typing, questions, parts, ends]) {
  try {
    await scenario();
  } catch (error) {
    console.error(`${scenario.name}: ${error.stack}`);
    process.exit(1);
  }
}
process.exit(0);
