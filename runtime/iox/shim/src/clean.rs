//! Removal of what dead processes left behind.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use iceoryx2::node::{Node, NodeState, NodeView};
use iceoryx2::prelude::*;

use crate::domain::Domain;
use crate::failure::{Failure, other};
use crate::ports::{Ipc, NodeHandle};

impl NodeHandle {
    /// Cleans up after dead nodes, then removes orphans, and counts both.
    pub fn clean(&self) -> Result<u64, Failure> {
        let mut dead = Vec::new();
        Node::<Ipc>::list(self.node.config(), |state| {
            if let NodeState::Dead(view) = state {
                dead.push(view);
            }
            CallbackProgression::Continue
        })
        .map_err(|e| other("list nodes", format!("{e:?}")))?;
        let mut cleaned = 0;
        let mut failure = None;
        let root = self.node.config().global.root_path().to_string();
        for view in dead {
            use iceoryx2::node::NodeCleanupFailure as E;
            let id = format!("{:?}", view.id());
            unfinished(&Path::new(&root).join("nodes").join(view.id().value().to_string()));
            match view.try_remove_stale_resources() {
                Ok(()) => cleaned += 1,
                // Somebody else is at it, or was.
                Err(E::AnotherInstanceIsCleaningUpTheNode | E::ResourcesAlreadyCleanedUp) => {}
                Err(e) => failure = Some(other("clean up after a node", format!("{id}: {e:?}"))),
            }
        }
        cleaned += sweep(&self.domain, Path::new(&root));
        failure.map_or(Ok(cleaned), Err)
    }
}

/// Removes the tags that a dead node was just making. iceoryx2 overlooks them: it
/// cannot remove their directory then, says so once, and never tries again. A tag
/// is made before what it stands for, so there is nothing behind them.
fn unfinished(node: &Path) {
    for entry in fs::read_dir(node).into_iter().flatten().flatten() {
        let making = entry.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o777 == 0o600);
        if making && entry.path().extension().is_some_and(|e| e == "service_tag" || e == "port_tag") {
            let _ = fs::remove_file(entry.path()); // or somebody else was at it
        }
    }
}

/// Removes the segments and sockets of ports that no node knows, dead or alive.
/// They are left when a process dies while it cleans up after another.
///
/// A port makes its tag before anything else and removes it after everything
/// else, so a file whose ports have no tag, looked for after the file was
/// seen, belongs to nobody.
fn sweep(domain: &Domain, root: &Path) -> u64 {
    let mut files = orphans(&domain.dir, &domain.prefix, &[".data", ".connection", ".event_mgmt"]);
    files.extend(orphans(root, &domain.prefix, &[".event"]));
    if files.is_empty() {
        return 0;
    }
    let Some(ports) = tags(&root.join("nodes"), &domain.prefix) else {
        return 0;
    };
    let mut removed = 0;
    for (file, ids) in files {
        if !ids.iter().any(|id| ports.contains(id)) && fs::remove_file(file).is_ok() {
            removed += 1;
        }
    }
    removed
}

/// The files of ports in a directory, with the ids of their ports. A name is
/// the prefix, a hash in segments, the id, in connections a second id, and a
/// suffix.
fn orphans(dir: &Path, prefix: &[u8], suffixes: &[&str]) -> Vec<(PathBuf, Vec<u128>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.as_encoded_bytes().strip_prefix(prefix) else {
            continue;
        };
        let Ok(rest) = std::str::from_utf8(rest) else {
            continue;
        };
        let Some(rest) = suffixes.iter().find_map(|s| rest.strip_suffix(s)) else {
            continue;
        };
        let ids: Vec<u128> =
            rest.split('_').filter(|p| p.len() != 40).map_while(|p| p.parse().ok()).collect();
        if !ids.is_empty() {
            files.push((entry.path(), ids));
        }
    }
    files
}

/// The ids of all ports that nodes have, or nothing if that cannot be told.
/// Directories are read, files never opened: closing one would end the
/// kernel's locks on it, by which nodes know each other alive.
fn tags(nodes: &Path, prefix: &[u8]) -> Option<HashSet<u128>> {
    let mut ids = HashSet::new();
    for node in fs::read_dir(nodes).ok()? {
        let node = node.ok()?;
        if !node.file_type().ok()?.is_dir() {
            continue;
        }
        let entries = match fs::read_dir(node.path()) {
            Ok(entries) => entries,
            // The node has just gone.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_) => return None,
        };
        for entry in entries {
            let name = entry.ok()?.file_name();
            let rest = name.as_encoded_bytes();
            let rest = rest.strip_prefix(prefix).unwrap_or(rest);
            let id = std::str::from_utf8(rest).ok().and_then(|s| s.strip_suffix(".port_tag"));
            if let Some(Ok(id)) = id.map(str::parse) {
                ids.insert(id);
            }
        }
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_names() {
        let dir = std::env::temp_dir().join(format!("medianode-iox-{}-ids", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let hash = "0354a209029e7d094a819e2d4030ea331e6caaf0";
        for name in [
            "p_HASH_7.data",
            "p_HASH_7_8.connection",
            "q_HASH_7.data",
            "p_HASH_7.dynamic",
            "p_HASH_node.data",
        ] {
            fs::write(dir.join(name.replace("HASH", hash)), []).unwrap();
        }
        let mut found: Vec<_> =
            orphans(&dir, b"p_", &[".data", ".connection"]).into_iter().map(|f| f.1).collect();
        found.sort();
        assert_eq!(found, [vec![7], vec![7, 8]]);
        fs::remove_dir_all(dir).unwrap();
    }
}
