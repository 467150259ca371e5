//! Programs of other languages, unchanged, in the children of `prefork run`: what the page of recipes says of each.
//!
//! The programs are in `fixtures/programs`: ten lines each, as anybody would write them. Each answers with the pid of the
//! process that answers, and takes its time where `ms=` asks for it.

mod life;
mod runtime;
mod worker;

use life::{burst, death, rollout};
use runtime::Runtime;

/// What is tested of each runtime.
macro_rules! runtimes {
    ($($name:ident: $runtime:expr;)*) => {$(
        mod $name {
            use super::{Runtime, burst, death, rollout};

            /// L1, H1: rolling reloads under load lose no request, and neither does a stop with requests in hand.
            #[test]
            fn neither_a_reload_nor_a_stop_loses_a_request() {
                let scene = prefork_tests::scene!();
                rollout(&scene, $runtime);
            }

            /// F4: more requests at once than there are programs bring more programs, which leave again.
            #[test]
            fn a_burst_is_followed_up_and_down() {
                let scene = prefork_tests::scene!();
                burst(&scene, $runtime);
            }

            /// R1: a program that is killed is replaced.
            #[test]
            fn one_that_is_killed_is_replaced() {
                let scene = prefork_tests::scene!();
                death(&scene, $runtime);
            }
        }
    )*};
}

runtimes! {
    uvicorn: Runtime::Uvicorn;
    gunicorn: Runtime::Gunicorn;
    node: Runtime::Node;
    php: Runtime::Php;
    perl: Runtime::Perl;
    starman: Runtime::Starman;
    golang: Runtime::Go;
    puma: Runtime::Puma;
}
