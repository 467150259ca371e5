//! The messages in the course of a life.

use prefork_core::Generation;

use prefork_core::Refusal;

use super::*;

const NOW: Time = Time::after_origin(Duration::from_micros(1_234_567));

fn conversation() -> Conversation {
    Conversation::new(Size::Fixed { prefork: 3 }).with_stop(Duration::from_secs(41))
}

fn serving() -> Conversation {
    let mut conversation = conversation();
    conversation.answer(Occasion::Ready, NOW, 7);
    conversation
}

/// The messages that follow, one a line, parts joined by spaces.
fn said<const N: usize>(mut conversation: Conversation, occasions: [Occasion; N]) -> [String; N] {
    occasions.map(|occasion| {
        conversation.answer(occasion, NOW, 7).unwrap_or_default().replace('\n', " ")
    })
}

#[test]
fn a_life_without_trouble() {
    let life = [
        Occasion::Starting,
        Occasion::Ready,
        Occasion::Progress(Progress::Reloading),
        Occasion::Progress(Progress::Reloaded),
        Occasion::Progress(Progress::Stopping),
        Occasion::Progress(Progress::Stopping),
    ];
    assert_eq!(
        said(conversation(), life),
        [
            "MAINPID=7 STATUS=starting 3 children",
            "READY=1 MAINPID=7 STATUS=serving, 3 children",
            "RELOADING=1 MONOTONIC_USEC=1234567 STATUS=replacing all children",
            "READY=1 MAINPID=7 STATUS=serving, 3 children",
            "STOPPING=1 EXTEND_TIMEOUT_USEC=41000000 STATUS=stopping",
            "",
        ]
    );
}

#[test]
fn who_is_in_the_background_does_not_say_which_process_it_is() {
    let background = conversation().with_main_pid(MainPid::Found);
    let life = [
        Occasion::Starting,
        Occasion::Ready,
        Occasion::Progress(Progress::Reloading),
        Occasion::Progress(Progress::Reloaded),
    ];
    for message in said(background, life) {
        assert!(!message.is_empty() && !message.contains("MAINPID"), "{message}");
    }
}

#[test]
fn ready_is_said_when_neither_reload_nor_upgrade_is_left() {
    let ready = "READY=1 MAINPID=7 STATUS=serving; the last upgrade was refused";
    let [probing, reloading, reloaded, refused] = said(
        serving(),
        [
            Occasion::Progress(Progress::Probing),
            Occasion::Progress(Progress::Reloading),
            Occasion::Progress(Progress::ReloadFailed { generation: Generation(2) }),
            Occasion::Progress(Progress::UpgradeRefused { by: Refusal::Reported }),
        ],
    );
    assert!(probing.starts_with("RELOADING=1 MONOTONIC_USEC="), "{probing}");
    assert!(reloading.starts_with("RELOADING=1 MONOTONIC_USEC="), "{reloading}");
    // The end of the rollout is not that of the upgrade.
    assert!(reloaded.is_empty(), "{reloaded}");
    assert_eq!(refused, ready);
}

#[test]
fn a_program_that_goes_on_in_place_ends_the_upgrade() {
    let size = Size::Fixed { prefork: 1 };
    let [_, reloaded] = said(
        Conversation::in_place(size),
        [Occasion::Progress(Progress::Reloading), Occasion::Progress(Progress::Reloaded)],
    );
    assert_eq!(reloaded, "READY=1 MAINPID=7 STATUS=serving, 1 child");
    let [back] = said(Conversation::in_place(size), [Occasion::Back]);
    assert!(back.starts_with("READY=1"), "{back}");
}

/// What has begun as a reload is not reported to begin once more by the program that has read the settings.
#[test]
fn a_reload_that_goes_on_in_place_is_one_whatever_becomes_of_it() {
    let in_place = || Conversation::in_place(Size::Pools { pools: 2 });
    let read = Occasion::Progress(Progress::Reconfigured);
    let [nothing, reloading, reloaded] = said(
        in_place(),
        [read, Occasion::Progress(Progress::Reloading), Occasion::Progress(Progress::Reloaded)],
    );
    assert_eq!((&*nothing, &*reloading), ("", "STATUS=reloading all pools"));
    assert_eq!(reloaded, "READY=1 MAINPID=7 STATUS=serving, 2 pools");
    let [_, back] = said(in_place(), [read, Occasion::Back]);
    let why = "the program that has read the settings did not work, the old ones stay in force";
    assert_eq!(back, format!("READY=1 MAINPID=7 STATUS=serving; {why}"));
}

#[test]
fn what_is_wrong_with_a_pool_stands_in_the_status_after_a_refusal_too() {
    let mut conversation = serving();
    conversation.trouble(Some("pool a: it is ill".to_owned()));
    let by = Refusal::Reported;
    let [_, refused] = said(
        conversation,
        [
            Occasion::Progress(Progress::ReadingSettings),
            Occasion::Progress(Progress::SettingsRefused { by }),
        ],
    );
    assert!(refused.ends_with("the old ones stay in force; pool a: it is ill"), "{refused}");
}

#[test]
fn a_failed_reload_is_over_too() {
    let [_, failed] = said(
        serving(),
        [
            Occasion::Progress(Progress::Reloading),
            Occasion::Progress(Progress::ReloadFailed { generation: Generation(2) }),
        ],
    );
    assert_eq!(
        failed,
        "READY=1 MAINPID=7 STATUS=serving; generation 2 did not work, old children stay"
    );
}

#[test]
fn where_there_is_nobody_to_reload_it_is_over_at_once() {
    let [both] = said(serving(), [Occasion::NothingToReload]);
    let parts: Vec<_> = both.split(' ').filter(|part| part.contains("=1")).collect();
    assert_eq!(parts, ["RELOADING=1", "MONOTONIC_USEC=1234567", "READY=1"]);
}

#[test]
fn the_status_names_a_size_that_stays_true() {
    let size = Size::ByLoad { prefork: 3, max_children: 150 };
    let resized = Occasion::Progress(Progress::Resized { prefork: 4, max_children: 150 });
    let messages = said(Conversation::new(size), [Occasion::Ready, resized]);
    assert_eq!(
        messages,
        [
            "READY=1 MAINPID=7 STATUS=serving, 3 to 150 children",
            "STATUS=serving, 4 to 150 children"
        ]
    );
}

#[test]
fn a_stop_without_limit_is_a_number_all_the_same() {
    let mut conversation = conversation().with_stop(Duration::MAX);
    let message =
        conversation.answer(Occasion::Progress(Progress::Stopping), NOW, 7).expect("said");
    assert!(message.contains(&format!("={}\n", u64::MAX - 1)), "{message}");
}

/// From the beginning of the reading to the end of the rollout it is one reload.
#[test]
fn settings_are_read_within_a_reload() {
    let [reading, read, rolling, rolled] = said(
        serving(),
        [
            Occasion::Progress(Progress::ReadingSettings),
            Occasion::Progress(Progress::Reconfigured),
            Occasion::Progress(Progress::Reloading),
            Occasion::Progress(Progress::Reloaded),
        ],
    );
    let expected = "RELOADING=1 MONOTONIC_USEC=1234567 STATUS=reading the settings again";
    assert_eq!(
        [reading.as_str(), &read, &rolling],
        [expected, "", "STATUS=replacing all children"]
    );
    assert_eq!(rolled, "READY=1 MAINPID=7 STATUS=serving, 3 children");
}

/// The end of a rollout that was under way is not that of the reload for which settings were read meanwhile.
#[test]
fn a_reload_is_not_over_before_the_children_are_replaced_for_it() {
    let occasions = [
        Occasion::Progress(Progress::Reloading),
        Occasion::Progress(Progress::ReadingSettings),
        Occasion::Progress(Progress::Reloaded),
        Occasion::Progress(Progress::Reconfigured),
        Occasion::Progress(Progress::Reloading),
        Occasion::Progress(Progress::Reloaded),
    ];
    let [.., during, read, _, after] = said(serving(), occasions);
    assert_eq!([during, read], ["", ""]);
    assert!(after.starts_with("READY=1"), "{after}");
    let [.., both] = said(
        serving(),
        [
            Occasion::Progress(Progress::ReadingSettings),
            Occasion::Progress(Progress::Reconfigured),
            Occasion::Progress(Progress::ReadingSettings),
            Occasion::Progress(Progress::SettingsRefused { by: Refusal::Reported }),
        ],
    );
    assert_eq!(both, "", "the first one is still to come about");
}

#[test]
fn refused_settings_are_the_end_of_a_reload() {
    let [_, refused] = said(
        serving(),
        [
            Occasion::Progress(Progress::ReadingSettings),
            Occasion::Progress(Progress::SettingsRefused { by: Refusal::Reported }),
        ],
    );
    assert_eq!(
        refused,
        "READY=1 MAINPID=7 STATUS=serving; the settings were refused, the old ones stay in force"
    );
}
