//! When received bytes are acknowledged: at once where the peer may wait for that, later where a response
//! carries the acknowledgement.

use std::sync::Arc;

use sim::raw::flag;
use sim::{Bulk, Dialog, Phase, Setup};

const MILLI: u64 = 1_000;

const HEAD: &[u8] = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";

/// Head and body in two writes by a client without TCP_NODELAY: its second segment waits for the
/// acknowledgement of the first.
#[test]
fn a_client_with_nagle_is_not_kept_waiting() {
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    let host = world.host();
    let client = world.connect(host);
    world.machine(host).use_nagle();
    world.expect_phase(client, Phase::Open);
    for _ in 0..5 {
        let began = world.elapsed();
        world.send(client, HEAD);
        world.run_for(10);
        world.send(client, b"Pollux ");
        world.run_for(10);
        world.send(client, b"is");
        assert_eq!(world.response(client).status, 200);
        let took = world.elapsed() - began;
        assert!(took < 10 * MILLI, "a request takes {took} us");
    }
    world.finish(client);
    world.end();
}

/// Wherever a request is cut: the part that came is acknowledged when nothing can be done with it but wait.
#[test]
fn a_part_of_a_request_is_acknowledged_at_once() {
    let request = [HEAD, b"Pollux is"].concat();
    for at in [1, 9, HEAD.len() - 1, HEAD.len(), HEAD.len() + 1, request.len() - 1] {
        let (mut world, raw) = Setup::new(1).build_with_raw();
        let mut dialog = Dialog::open(&mut world, raw, 4_000);
        dialog.data(&mut world, &request[..at]);
        let heard = dialog.hear_within(&mut world, 10 * MILLI);
        let heard = heard.unwrap_or_else(|| panic!("nothing comes after {at} bytes"));
        assert_eq!((heard.flags, heard.payload.len()), (flag::ACK, 0));
        assert_eq!(heard.ack, dialog.seq, "cut after {at} bytes");
        assert!(heard.window > 0);
        assert!(dialog.hear_within(&mut world, 200 * MILLI).is_none(), "once");
        dialog.data(&mut world, &request[at..]);
        assert!(dialog.hear(&mut world).payload.starts_with(b"HTTP/1.1 200 "));
        dialog.say(&mut world, flag::RST | flag::ACK, b"");
        world.run_for(MILLI);
        world.end();
    }
}
