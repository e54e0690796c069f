//! One entry of `machines`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::model::{
    Image, KernelSource, Machine, MachineGaps, Network, Service, ServiceGaps, Spanned, Workspace,
};
use super::super::scalars::is_hostname;
use super::combined::Part;
use super::fields::Fields;
use super::keys::MACHINE;
use super::reader::{Reader, TextForm, Value, shown};

const DEFAULT_MEMORY_MIB: u64 = 1024;
/// What the interrupt controllers of the engines address.
const CPUS_MAX: u32 = 255;

/// A machine and what only lowering needs of it.
#[derive(Debug)]
pub(super) struct LoweredMachine {
    pub(super) machine: Machine,
    /// Shell of its steps.
    pub(super) shell: Option<Vec<String>>,
    /// What it is of its matrix.
    pub(super) part: Option<Part>,
    /// Whether it has a matrix that could not be read.
    pub(super) has_unread_matrix: bool,
}

impl LoweredMachine {
    fn new(machine: Machine, shell: Option<Vec<String>>) -> Self {
        Self { machine, shell, part: None, has_unread_matrix: false }
    }
}

impl Reader<'_> {
    /// Lowers a machine; what cannot be read has its default.
    pub(super) fn machine(&mut self, name: Spanned<String>, value: Value) -> LoweredMachine {
        let mut machine = Machine {
            image: Spanned { value: Image::Host, span: name.span },
            kernel: Spanned { value: KernelSource::Auto, span: name.span },
            modules: None,
            cpus: None,
            memory_mib: Spanned { value: DEFAULT_MEMORY_MIB, span: name.span },
            env: BTreeMap::new(),
            working_dir: None,
            user: None,
            hostname: None,
            mounts: Vec::new(),
            combination: None,
            workspace: Workspace::default(),
            network: Network::default(),
            service: Service::default(),
            depends_on: Vec::new(),
            gaps: MachineGaps::default(),
            name,
        };
        if self.is_null(value) {
            return LoweredMachine::new(machine, None);
        }
        let Some(fields) = self.fields(value, &MACHINE) else {
            machine.gaps = MachineGaps { mounts: true, purpose: true, service: ServiceGaps::ALL };
            return LoweredMachine::new(machine, None);
        };
        self.machine_boot(&fields, &mut machine);
        machine.env = self.environment(&fields);
        machine.working_dir = fields.get("working_dir").and_then(|value| self.guest_path(value, "`working_dir`"));
        machine.user = fields.get("user").and_then(|value| self.user(value));
        machine.hostname = self.hostname(&fields);
        machine.network = self.network(&fields);
        machine.workspace = self.workspace(&fields);
        self.mounts(&fields, &mut machine);
        let shell = self.shell(&fields);
        self.service(&fields, shell.as_ref(), &mut machine);
        machine.gaps.purpose = machine.gaps.service.command;
        LoweredMachine::new(machine, shell)
    }

    fn machine_boot(&mut self, fields: &Fields, machine: &mut Machine) {
        if let Some(value) = fields.get("image") {
            machine.image = self.image(value);
        }
        if let Some(kernel) = fields.get("kernel").and_then(|value| self.kernel(value)) {
            machine.kernel = kernel;
        }
        machine.modules = fields.get("modules").and_then(|value| self.modules(value));
        machine.cpus = fields.get("cpus").and_then(|value| self.integer(value, "`cpus`", &(1..=CPUS_MAX)));
        if let Some(memory) = fields.get("memory").and_then(|value| self.size_mib(value, "`memory`")) {
            machine.memory_mib = memory;
        }
    }

    fn modules(&mut self, value: Value) -> Option<Spanned<PathBuf>> {
        let text = self.text(value, "`modules`", TextForm::Strict)?;
        self.host_path(value, "`modules`", &text.value)
    }

    fn hostname(&mut self, fields: &Fields) -> Option<String> {
        let value = fields.get("hostname")?;
        let text = self.text(value, "`hostname`", TextForm::Strict)?;
        if is_hostname(&text.value) {
            return Some(text.value);
        }
        let diagnostic = self.error(5, value, format!("{} is not a host name", shown(&text.value)), "not a host name");
        self.report(diagnostic.help("write letters, digits and inner dashes, at most 64 of them"));
        None
    }

    fn mounts(&mut self, fields: &Fields, machine: &mut Machine) {
        let Some(value) = fields.get("mounts") else {
            machine.gaps.mounts = fields.has("mounts");
            return;
        };
        let Some(items) = self.list(value, "`mounts`") else {
            machine.gaps.mounts = true;
            return;
        };
        for item in items {
            match self.mount(item) {
                Some(mount) => machine.mounts.push(mount),
                None => machine.gaps.mounts = true,
            }
        }
    }
}
