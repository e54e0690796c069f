//! Which program listens at an address of this computer, as far as its invoker may see that.

use std::fs;
use std::net::SocketAddr;

use super::ports::listener_inodes;

/// A program that listens somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Its name, which the program chose.
    pub name: String,
}

/// The program that listens where this address would meet it. Of processes of others only root sees what they have open.
pub fn holder(address: SocketAddr) -> Option<Holder> {
    let wanted: Vec<String> = listener_inodes(address).into_iter().map(|inode| format!("socket:[{inode}]")).collect();
    if wanted.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| has_open(*pid, &wanted))?;
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    // Any bytes may be in it.
    let name = String::from_utf8_lossy(&name).chars().filter(|letter| !letter.is_control()).collect();
    Some(Holder { pid, name })
}

fn has_open(pid: u32, wanted: &[String]) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| {
        fs::read_link(file.path()).is_ok_and(|target| wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_is_found_also_by_an_address_that_meets_its_own() {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = own.local_addr().unwrap();
        assert_eq!(holder(address).unwrap().pid, std::process::id());
        let all = SocketAddr::from(([0, 0, 0, 0], address.port()));
        assert_eq!(holder(all).unwrap().pid, std::process::id());
        let other = SocketAddr::from(([127, 9, 9, 9], address.port()));
        assert_eq!(holder(other), None);
    }
}
