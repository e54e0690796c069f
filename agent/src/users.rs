//! Users and groups of the image, read by hand from the text of its `/etc/passwd` and `/etc/group`.
//!
//! The agent is static and must not load the image's name service. Deliberately not here: reading the files.

use smolvm_agent::GuestUser;

/// Most supplementary groups that a user gets; the kernel's own limit.
const GROUPS_MAX: usize = 65_536;

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Finds the user that `wanted` names: `name`, `uid`, `uid:gid`, `name:group`. The error says what is not known.
///
/// A number that no account has is a user without a name, with group 0 and home `/`; so is `root` in an image without
/// accounts, where it is the default.
pub(crate) fn resolve_user(wanted: &str, passwd: &str, group: &str) -> Result<GuestUser, String> {
    let (user, wanted_group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    let account = accounts(passwd).find(|account| account.name == user).or_else(|| {
        let uid = parse_id(user)?;
        accounts(passwd).find(|account| account.uid == uid)
    });
    let mut found = match account {
        Some(account) => GuestUser {
            name: Some(account.name.to_owned()),
            uid: account.uid,
            gid: account.gid,
            groups: supplementary_groups(account.name, account.gid, group),
            home: if account.home.starts_with('/') { account.home.to_owned() } else { "/".to_owned() },
        },
        None => {
            let uid = if user == "root" { Some(0) } else { parse_id(user) };
            let uid = uid.ok_or_else(|| format!("the image has no user `{user}`"))?;
            GuestUser { name: None, uid, gid: 0, groups: vec![0], home: "/".to_owned() }
        }
    };
    if let Some(wanted) = wanted_group {
        found.gid = group_id(wanted, group).ok_or_else(|| format!("the image has no group `{wanted}`"))?;
        if found.name.is_none() {
            found.groups.clear();
        }
        if !found.groups.contains(&found.gid) {
            found.groups.push(found.gid);
        }
    }
    Ok(found)
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = parse_id(fields.nth(1)?)?;
        let gid = parse_id(fields.next()?)?;
        let home = fields.nth(1).unwrap_or_default();
        Some(Account { name, uid, gid, home })
    })
}

fn supplementary_groups(user: &str, primary: u32, group: &str) -> Vec<u32> {
    let mut groups = vec![primary];
    for line in group.lines() {
        let Some((_, gid, members)) = parse_group(line) else {
            continue;
        };
        if groups.len() < GROUPS_MAX && members.split(',').any(|member| member == user) && !groups.contains(&gid) {
            groups.push(gid);
        }
    }
    groups
}

fn group_id(wanted: &str, group: &str) -> Option<u32> {
    group
        .lines()
        .filter_map(parse_group)
        .find_map(|(name, gid, _)| (name == wanted).then_some(gid))
        .or_else(|| parse_id(wanted))
}

/// Name, id and members of a line of `/etc/group`.
fn parse_group(line: &str) -> Option<(&str, u32, &str)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let gid = parse_id(fields.nth(1)?)?;
    Some((name, gid, fields.next().unwrap_or_default()))
}

/// An id; the largest number means "unchanged" to the kernel and is none.
fn parse_id(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\n+::::::\n\
        www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\njoe:x:1000:1000::/home/joe:/bin/bash\nbare:x:7:7\n\
        1234:x:5:5::/odd:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwww-data:x:33:\nadm:x:4:syslog,joe\ndocker:x:999:joe\nbroken\njoe:x:1000:joe\n";

    fn resolve(wanted: &str) -> Result<(u32, u32, Vec<u32>, String), String> {
        resolve_user(wanted, PASSWD, GROUP).map(|user| (user.uid, user.gid, user.groups, user.home))
    }

    #[test]
    fn name_brings_groups_and_home() {
        assert_eq!(resolve("joe"), Ok((1000, 1000, vec![1000, 4, 999], "/home/joe".into())));
    }

    #[test]
    fn number_of_an_account_brings_the_same() {
        assert_eq!(resolve("1000"), resolve("joe"));
    }

    #[test]
    fn number_without_an_account_has_group_0_and_home_root() {
        let user = resolve_user("4242", PASSWD, GROUP).expect("any number is a user");
        assert_eq!((user.name, user.uid, user.gid, user.home.as_str()), (None, 4242, 0, "/"));
    }

    #[test]
    fn root_is_there_in_an_image_without_accounts() {
        let user = resolve_user("root", "", "").expect("the default user");
        assert_eq!((user.uid, user.gid, user.home.as_str()), (0, 0, "/"));
    }

    #[test]
    fn group_is_a_name_or_a_number() {
        assert_eq!(resolve("joe:www-data"), Ok((1000, 33, vec![1000, 4, 999, 33], "/home/joe".into())));
        assert_eq!(resolve("4242:4343"), Ok((4242, 4343, vec![4343], "/".into())));
    }

    #[test]
    fn name_made_of_digits_is_a_name_first() {
        assert_eq!(resolve("1234"), Ok((5, 5, vec![5], "/odd".into())));
    }

    #[test]
    fn account_without_a_home_lives_in_the_root() {
        assert_eq!(resolve("bare"), Ok((7, 7, vec![7], "/".into())));
    }

    #[test]
    fn unknown_names_are_named() {
        assert_eq!(resolve("eve"), Err("the image has no user `eve`".into()));
        assert_eq!(resolve("joe:eve"), Err("the image has no group `eve`".into()));
        assert_eq!(resolve(""), Err("the image has no user ``".into()));
        assert_eq!(resolve("4294967295"), Err("the image has no user `4294967295`".into()));
    }
}
