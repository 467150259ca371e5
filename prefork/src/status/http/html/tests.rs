use prefork_view::{Change, Outcome};

use super::super::report::tests::report;
use super::*;

/// The place of a text, which is there once.
#[track_caller]
fn place(page: &str, text: &str) -> usize {
    assert_eq!(page.matches(text).count(), 1, "{text} in {page}");
    page.find(text).expect("just found")
}

#[test]
fn what_children_and_clients_say_is_escaped() {
    let mut report = report();
    report.name = "<b>hello</b>".to_owned();
    let evil = "GET /\"><script>alert('x')</script>&amp;";
    let view = report.view.as_mut().expect("there");
    (view.rows[1].label, view.rows[1].client) = (evil.to_owned(), "<i>".to_owned());
    view.owner.version = Some("<u>1</u>".to_owned());
    view.owner.listeners[0].address = "<a>".to_owned();
    view.owner.reload = Some(Change {
        outcome: Outcome::Failed,
        reason: Some("<em>".to_owned()),
        began: None,
        ended: None,
    });
    let page = page(&report, Slots::Taken, false);
    for tag in ["<script", "<b>", "<i>", "<u>", "<a>", "<em>"] {
        assert!(!page.contains(tag), "{tag} in {page}");
    }
    let escaped = "GET /&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;";
    assert_eq!(page.matches(escaped).count(), 2, "{page}");
}

#[test]
fn everybody_who_is_there_has_a_row() {
    let page = page(&report(), Slots::Taken, false);
    assert_eq!(page.matches("<tr").count(), 8, "two headings and six children");
    for text in [
        "26\u{202f}000<small>520 a second, over the last 50s</small>",
        "up 50s",
        "<i class=\"busy\"></i>writing",
        "GET /page/1",
        "2.5s",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert!(
        page.contains("style=\"flex:2\"></i><i class=\"draining\" style=\"flex:1\">"),
        "{page}"
    );
}

#[test]
fn of_children_with_many_requests_the_page_says_how_many() {
    let mut report = report();
    assert!(!page(&report, Slots::Taken, false).contains("in hand</th>"));
    report.view = Some(prefork_view::samples::many());
    let page = page(&report, Slots::Taken, false);
    place(&page, "<dt>requests in hand</dt><dd>17<small>of 129</small>");
    place(&page, "<i class=\"busy\"></i>writing<td>16 of 64<td>");
    assert_eq!(page.matches("<th scope=\"col\">in hand\n").count(), 0, "it is not the last");
    assert_eq!(page.matches("<th scope=\"col\">in hand<th").count(), 2, "{page}");
    place(&page, "<i class=\"idle\"></i>idle<td>0 of 64<td>");
}

#[test]
fn what_went_wrong_comes_first_then_who_is_at_work_for_longest() {
    let page = page(&report(), Slots::Taken, false);
    let order = [
        "as of <time datetime=\"2023-11-14T22:14:10Z\">2023-11-14 22:14:10 UTC</time>",
        "<h2>What went wrong</h2>",
        "child 4007 was ended by SIGKILL",
        "<span>clients that found the queue full</span><span>5<small></small></span>",
        "<span>children killed (SIGKILL)</span><span>2<small></small></span>",
        "<h2>Since the start</h2>",
        "<span>children started</span><span>12<small></small></span>",
        "<h2>6 children</h2>",
        "<i class=\"busy\"></i>reading<td>8.7s",
        "<i class=\"busy\"></i>writing<td>2.5s",
        "<summary>1 idle child</summary>",
        "<i class=\"idle\"></i>idle",
    ];
    let mut sorted = order.map(|text| place(&page, text));
    sorted[3..5].sort_unstable();
    assert!(sorted.is_sorted(), "{sorted:?} in {page}");
    assert!(!page.contains("crashed"), "what has not happened: {page}");
}

#[test]
fn a_daemon_without_trouble_has_none() {
    let mut report = report();
    report.figures = crate::status::page::tests::no_trouble();
    report.dropped = Some(0);
    let found = page(&report, Slots::Taken, false);
    assert!(
        found.contains("<p class=\"card counts soft\">Nothing since the start.</p>"),
        "{found}"
    );
    let view = report.view.as_mut().expect("there");
    view.owner.upgrade = Some(Change {
        outcome: Outcome::Refused,
        reason: Some("exited with status 1".to_owned()),
        began: None,
        ended: None,
    });
    let page = page(&report, Slots::Taken, false);
    assert!(page.contains("<p>upgrade refused: exited with status 1</p>"), "{page}");
}

#[test]
fn it_refreshes_only_if_asked_to() {
    assert!(!page(&report(), Slots::Taken, false).contains("http-equiv"));
    assert!(page(&report(), Slots::Taken, true).contains("http-equiv=\"refresh\" content=\"5\""));
}

#[test]
fn a_pool_without_a_board_has_a_page_too() {
    let mut report = report();
    (report.view, report.requests, report.queue) = (None, None, None);
    let page = page(&report, Slots::Taken, false);
    assert!(page.contains("there is no scoreboard") && !page.contains("<table"), "{page}");
}

#[test]
fn large_numbers_are_grouped() {
    for (number, text) in [(0, "0"), (999, "999"), (1000, "1_000"), (1_234_567, "1_234_567")] {
        assert_eq!(grouped(number).replace('\u{202f}', "_"), text);
    }
}

#[test]
fn a_parent_that_was_stopped_is_seen_with_a_board_and_without() {
    let mut report = report();
    report.standing = Some(prefork_scoreboard::Standing::Stopped);
    report.view.as_mut().expect("there").sign.standing = report.standing;
    let sentence = "<p><strong>Now: process 3999 was stopped by a signal and decides nothing; `kill -CONT 3999` lets it go \
                    on</strong></p>";
    let with_board = page(&report, Slots::Taken, false);
    assert!(with_board.contains("<title>STOPPED: hello: "), "{with_board}");
    place(&with_board, sentence);
    report.view = None;
    let without = page(&report, Slots::Taken, false);
    assert!(without.contains("<title>STOPPED: hello</title>"), "{without}");
    place(&without, sentence);
}
