//! What the library adds: the very work of the bare loop, in children of a parent that looks after them.
//!
//! `hello` also reads HTTP and puts its answer together, which the bare loop does not.

use std::{env, process::ExitCode};

use prefork::{Args, Isolation, Prefork};
use prefork_bench::bare;

/// Serves at the address in the first argument with as many children as the second one says.
pub(crate) fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let address = args.next().expect("an address");
    let children: u32 = args.next().and_then(|n| n.parse().ok()).expect("a number of children");
    let isolation = Isolation::parse(args.next()).expect("layers");
    let args = Args::new()
        .isolate(isolation)
        .daemonize(false)
        .prefork(children)
        .after_init(move |init| Ok(init.listen(&*address)?))
        .main_loop(|child, listener| {
            let mut buffer = bare::buffer();
            while let Some((connection, _)) = child.accept(listener)? {
                bare::answer(connection, &mut buffer);
            }
            Ok(())
        });
    Prefork::new(args).expect("right arguments").run().expect("a server that can start");
    ExitCode::SUCCESS
}
