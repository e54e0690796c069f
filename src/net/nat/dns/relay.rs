//! The questions that are on their way, each with a socket of its own: nobody else's answer is taken for one.
//!
//! Everything is bounded: how many there are, how often and how long each is tried.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::rand::{GetRandomFlags, getrandom};

use super::super::news::{NatNews, Teller};
use super::super::packet::Ends;
use super::super::policy::Policy;
use super::super::poller::{Poller, Token};
use super::message::{Code, Query, read_query};
use super::reply::Reply;
use super::way::{Look, Way};

/// Questions that may be on their way.
const PENDING_MAX: usize = 256;

/// How long a server may take. Two tries at two servers fit into what a C library waits.
const PATIENCE: Duration = Duration::from_millis(2200);

/// How often the servers are gone through.
const ROUNDS: usize = 2;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Asker {
    /// By a datagram between these ends.
    Datagram(Ends),
    /// On this connection of TCP.
    Stream(u32),
}

/// Bytes that are no question.
#[derive(Debug)]
pub(in super::super) struct Unreadable;

/// An answer and whose it is.
pub(in super::super) type Answer = (Asker, Vec<u8>);

/// Questions on their way.
#[derive(Debug, Default)]
pub(in super::super) struct Relay {
    servers: Vec<SocketAddr>,
    pending: HashMap<u32, Pending>,
    next: u32,
}

#[derive(Debug)]
struct Pending {
    asker: Asker,
    query: Query,
    way: Way,
    /// Tries so far; the server is their number in the row of servers.
    tries: usize,
    until: Instant,
}

impl Relay {
    /// Says which servers the host has, in their order.
    pub(in super::super) fn set_servers(&mut self, servers: Vec<SocketAddr>) {
        self.servers = servers;
    }

    /// Takes a question. What can be answered at once is; what cannot be read is not answered at all.
    pub(in super::super) fn ask(
        &mut self,
        asker: Asker,
        bytes: &[u8],
        policy: &Policy,
        teller: &mut Teller,
        poller: &Poller,
    ) -> Result<Option<Answer>, Unreadable> {
        let query = match read_query(bytes) {
            Ok(query) => query,
            Err(refusal) => return refusal.map(|refusal| Some((asker, refusal))).ok_or(Unreadable),
        };
        if !policy.has_name(&query.name) {
            // Programs ask for the names of addresses, and for services of a name, without anybody's wish.
            if !query.is_backwards() && !policy.has_name(query.host()) {
                teller.tell(NatNews::Name(query.name.clone()));
            }
            return Ok(Some((asker, query.block())));
        }
        if self.servers.is_empty() {
            teller.tell(NatNews::NoResolver);
        }
        if self.pending.len() >= PENDING_MAX {
            return Ok(Some((asker, query.fail(Code::NoServer))));
        }
        Ok(self.send(asker, query, 0, poller))
    }

    /// Sends a question to the next server that takes it; without one it is answered so.
    fn send(&mut self, asker: Asker, query: Query, tries: usize, poller: &Poller) -> Option<Answer> {
        for tries in tries..self.servers.len() * ROUNDS {
            let server = self.servers[tries % self.servers.len()];
            let id = random_id();
            if let Ok(way) = Way::by_datagram(&query, id, server)
                && let Ok(number) = self.watch(&way, poller)
            {
                let until = Instant::now() + PATIENCE;
                self.pending.insert(number, Pending { asker, query, way, tries, until });
                return None;
            }
        }
        Some((asker, query.fail(Code::NoServer)))
    }

    fn watch(&mut self, way: &Way, poller: &Poller) -> rustix::io::Result<u32> {
        self.next = self.next.wrapping_add(1);
        poller.add(way.socket(), Token::Dns(self.next))?;
        Ok(self.next)
    }

    /// Something came for a question. Addresses of names may be reached from now on.
    pub(in super::super) fn on_ready(&mut self, number: u32, policy: &mut Policy, poller: &Poller) -> Option<Answer> {
        let pending = self.pending.get_mut(&number)?;
        match pending.way.look(&pending.query) {
            Look::Waits => None,
            // In the first round, so that what no server answers is said soon.
            Look::Answered(reply) if reply.is_refusal && pending.tries + 1 < self.servers.len() => {
                let Pending { asker, query, tries, .. } = self.pending.remove(&number)?;
                self.send(asker, query, tries + 1, poller)
            }
            Look::Answered(reply) => {
                let Pending { asker, query, .. } = self.pending.remove(&number)?;
                Some(answer(asker, &query, reply, policy))
            }
            Look::Cut => {
                let Pending { asker, query, tries, .. } = self.pending.remove(&number)?;
                self.send_by_stream(asker, query, tries, poller)
            }
            Look::Failed => {
                let Pending { asker, query, tries, .. } = self.pending.remove(&number)?;
                self.send(asker, query, tries + 1, poller)
            }
        }
    }

    fn send_by_stream(&mut self, asker: Asker, query: Query, tries: usize, poller: &Poller) -> Option<Answer> {
        let server = self.servers.get(tries % self.servers.len().max(1)).copied();
        let way = server.and_then(|server| Way::by_stream(&query, random_id(), server).ok());
        if let Some(way) = way
            && let Ok(number) = self.watch(&way, poller)
        {
            let until = Instant::now() + PATIENCE;
            self.pending.insert(number, Pending { asker, query, way, tries, until });
            return None;
        }
        self.send(asker, query, tries + 1, poller)
    }

    /// When something is to be done though nothing comes.
    pub(in super::super) fn due(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.until).min()
    }

    /// Tries again what was not answered in time.
    pub(in super::super) fn on_time(&mut self, now: Instant, poller: &Poller) -> Vec<Answer> {
        let late = self.pending.iter().filter(|(_, pending)| pending.until <= now).map(|(number, _)| *number);
        let late: Vec<u32> = late.collect();
        late.into_iter()
            .filter_map(|number| {
                let Pending { asker, query, tries, .. } = self.pending.remove(&number)?;
                self.send(asker, query, tries + 1, poller)
            })
            .collect()
    }
}

fn answer(asker: Asker, query: &Query, reply: Reply, policy: &mut Policy) -> Answer {
    let now = Instant::now();
    for (address, ttl) in reply.addresses {
        policy.pin(address, ttl, now);
    }
    match asker {
        Asker::Datagram(_) => (asker, query.fit(reply.message)),
        Asker::Stream(_) => (asker, reply.message),
    }
}

fn random_id() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness the socket's own port is what a stranger would have to guess.
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    u16::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::thread;

    use super::super::super::packet::tests::ends;
    use super::super::super::policy::Allowed;
    use super::super::message::tests::ask;
    use super::*;

    const PATIENCE_OF_TESTS: Duration = Duration::from_secs(20);

    struct Stage {
        relay: Relay,
        policy: Policy,
        teller: Teller,
        poller: Poller,
    }

    fn stage(servers: Vec<SocketAddr>, allowed: Option<Vec<Allowed>>) -> Stage {
        let relay = Relay { servers, ..Relay::default() };
        Stage { relay, policy: Policy::new(allowed), teller: Teller::default(), poller: Poller::new().unwrap() }
    }

    impl Stage {
        fn ask(&mut self, bytes: &[u8]) -> Option<Answer> {
            let asker = Asker::Datagram(ends("10.255.254.2:4000", "10.255.254.1:53"));
            self.relay.ask(asker, bytes, &self.policy, &mut self.teller, &self.poller).unwrap()
        }

        /// Turns the wheel until there is an answer.
        fn answer(&mut self) -> Vec<u8> {
            let end = Instant::now() + PATIENCE_OF_TESTS;
            while Instant::now() < end {
                for ready in self.poller.wait(Some(Duration::from_millis(100))).unwrap() {
                    let Token::Dns(number) = ready.token else { continue };
                    if let Some((_, answer)) = self.relay.on_ready(number, &mut self.policy, &self.poller) {
                        return answer;
                    }
                }
                if let Some((_, answer)) = self.relay.on_time(Instant::now(), &self.poller).into_iter().next() {
                    return answer;
                }
            }
            panic!("no answer")
        }
    }

    /// An answer to a question, with the address 192.0.2.1.
    fn reply(question: &[u8]) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2] |= 0x80;
        bytes[7] = 1;
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        bytes
    }

    fn server() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE_OF_TESTS)).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[test]
    fn an_allowed_name_is_asked_for_and_its_address_may_be_reached() {
        let (socket, address) = server();
        let mut stage = stage(vec![address], Some(vec![Allowed::Name("a.example".to_owned())]));
        assert!(stage.ask(&ask(7, "A.example", 1, false)).is_none());
        let mut buffer = [0; 512];
        let (count, from) = socket.recv_from(&mut buffer).unwrap();
        // What is no answer changes nothing.
        socket.send_to(b"nonsense", from).unwrap();
        socket.send_to(&reply(&buffer[..count]), from).unwrap();
        let answer = stage.answer();
        assert_eq!((&answer[..2], answer[7]), (&[0, 7][..], 1));
        assert_eq!(stage.policy.judge("192.0.2.1".parse().unwrap(), false, Instant::now()), Ok(()));
        assert!(stage.teller.take().is_empty() && stage.relay.due().is_none());
    }

    #[test]
    fn a_name_that_is_not_allowed_is_asked_of_nobody_and_told() {
        let (socket, address) = server();
        let mut stage = stage(vec![address], Some(vec![Allowed::Name("a.example".to_owned())]));
        for name in ["b.a.example", "secret.thief.example", "1.2.0.192.in-addr.arpa", "_http._tcp.a.example"] {
            let (_, answer) = stage.ask(&ask(7, name, 1, true)).unwrap();
            assert_eq!(answer[3] & 0x0f, 3);
        }
        let told: Vec<NatNews> =
            ["b.a.example", "secret.thief.example"].map(|name| NatNews::Name(name.to_owned())).into();
        assert_eq!(stage.teller.take(), told);
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv_from(&mut [0; 512]).is_err());
    }

    #[test]
    fn a_server_that_is_not_there_is_passed_over() {
        let (socket, address) = server();
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut stage = stage(vec![gone, address], None);
        let served = thread::spawn(move || {
            let mut buffer = [0; 512];
            let (count, from) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&reply(&buffer[..count]), from).unwrap();
        });
        assert!(stage.ask(&ask(7, "a.example", 1, false)).is_none());
        assert_eq!(stage.answer()[7], 1);
        served.join().unwrap();
    }

    #[test]
    fn a_server_that_will_not_answer_is_passed_over_and_the_last_one_is_believed() {
        let servers = [server(), server()];
        let addresses: Vec<SocketAddr> = servers.iter().map(|(_, address)| *address).collect();
        let mut stage = stage(addresses, None);
        for code in [2, 5] {
            assert!(stage.ask(&ask(7, "a.example", 1, false)).is_none());
            let answered = servers.each_ref().map(|(socket, _)| socket.try_clone().unwrap());
            let served = thread::spawn(move || {
                for (socket, is_last) in answered.iter().zip([false, true]) {
                    let mut buffer = [0; 512];
                    let (count, from) = socket.recv_from(&mut buffer).unwrap();
                    buffer[2] |= 0x80;
                    buffer[3] = if is_last { 3 } else { code };
                    socket.send_to(&buffer[..count], from).unwrap();
                }
            });
            assert_eq!(stage.answer()[3] & 0x0f, 3);
            served.join().unwrap();
        }
    }

    #[test]
    fn without_a_server_the_asker_hears_so() {
        let mut stage = stage(Vec::new(), None);
        assert_eq!(stage.ask(&ask(7, "a.example", 1, false)).unwrap().1[3] & 0x0f, 2);
        assert_eq!(stage.teller.take(), [NatNews::NoResolver]);
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        stage.relay.set_servers(vec![gone]);
        let answer = stage.ask(&ask(7, "a.example", 1, false)).map_or_else(|| stage.answer(), |(_, answer)| answer);
        assert_eq!(answer[3] & 0x0f, 2);
    }

    #[test]
    fn an_answer_that_is_too_long_for_a_datagram_comes_by_a_stream() {
        use std::io::{Read, Write};
        let (socket, address) = server();
        let listener = TcpListener::bind(address).unwrap();
        let served = thread::spawn(move || {
            let mut buffer = [0; 512];
            let (count, from) = socket.recv_from(&mut buffer).unwrap();
            let mut cut = buffer[..count].to_vec();
            cut[2] |= 0x82;
            socket.send_to(&cut, from).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question).unwrap();
            let mut long = reply(&question);
            long.extend([0; 2000]);
            stream.write_all(&u16::try_from(long.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&long).unwrap();
        });
        let mut stage = stage(vec![address], None);
        assert!(stage.ask(&ask(7, "a.example", 1, false)).is_none());
        // For its datagram it is still too long.
        let answer = stage.answer();
        assert_eq!((answer[2] & 0x02, answer[7]), (2, 0));
        served.join().unwrap();
    }

    #[test]
    fn questions_on_their_way_are_bounded() {
        let (_socket, address) = server();
        let mut stage = stage(vec![address], None);
        for number in 0..PENDING_MAX {
            assert!(stage.ask(&ask(u16::try_from(number).unwrap(), "a.example", 1, false)).is_none());
        }
        assert_eq!(stage.ask(&ask(7, "a.example", 1, false)).unwrap().1[3] & 0x0f, 2);
    }
}
