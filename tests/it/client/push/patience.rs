//! Clients that take their time: rows S14 and S16 of the sheet, and the same over HTTP.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{BOTH, Work, is_sound};
use crate::client::clone::big;
use crate::support::Persona;
use crate::support::site::{Site, WAYS, run};

#[tokio::test]
async fn a_client_that_thinks_before_it_sends_its_pack_is_waited_for() {
    let site = Site::new().await;
    for (way, version) in BOTH {
        let work = Work::new(&site, "thoughtful", way, version).await;
        let id = work.commit("after long thought").await;
        // What git does between the listing of refs and the pack is up to the client.
        let hook = work.client.home().join("work/.git/hooks/pre-push");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, "#!/bin/sh\nsleep 12\n").unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        work.push(&["HEAD:refs/heads/thought"]).await.good();
        assert_eq!(work.tip("refs/heads/thought").await, Some(id));
        is_sound(&site, &work.repo).await;
    }
    site.end().await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything() {
    let site = Site::new().await;
    let _tip = big(&site).await;
    for (way, version) in WAYS {
        let client = site.client(Persona::Reader, version);
        let url = site.url(way, Persona::Reader, "~alice/big");
        let mut clone = client.command(".", &["clone", "-q", "--bare", &url, "slow"]);
        // Stopped for a while in the middle: what the server has for it by then has to wait.
        let child = clone.process_group(0).spawn().unwrap();
        let group = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let _ = killpg(group, Signal::SIGSTOP);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let _ = killpg(group, Signal::SIGCONT);
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{way:?} {version}: {output:?}");
        let check = client.command("slow", &["fsck", "--full"]);
        run(check, b"").await.good();
    }
    site.end().await;
}
