use super::*;

fn sources(texts: &[(&str, &str)]) -> Sources {
    let mut sources = Sources::default();
    for (path, text) in texts {
        sources.add(*path, *text);
    }
    sources
}

fn span(source: u32, start: u32, end: u32) -> Span {
    Span { source: SourceId(source), start, end }
}

fn text(diagnostics: &Diagnostics, sources: &Sources) -> String {
    to_text(diagnostics, sources, Style::Plain)
}

#[test]
fn related_places_in_other_files_get_their_own_excerpt() {
    let sources = sources(&[("a.yaml", "one\ntwo\nthree\n"), ("b.yaml", "four\nfive")]);
    let mut found = Diagnostics::default();
    found.error(codes::R12, span(1, 5, 9), "twice").label("here").related(span(0, 4, 7), "there").help("once");
    assert_eq!(
        text(&found, &sources),
        "\
error[R12]: twice
 --> b.yaml:2:1
  |
2 | five
  | ^^^^ here
  |
 ::: a.yaml:2:1
  |
2 | two
  | --- there
  |
  = help: once"
    );
}

#[test]
fn far_places_of_one_file_are_not_joined_and_tall_spans_are_cut() {
    let long = (0..1_000).fold(String::new(), |all, line| all + &format!("line {line}\n"));
    let sources = sources(&[("a.yaml", &long)]);
    let mut found = Diagnostics::default();
    let end = u32::try_from(long.len()).unwrap();
    found.error(codes::R6, span(0, 0, end), "whole").related(span(0, end - 3, end - 1), "end");
    let shown = text(&found, &sources);
    assert!(shown.lines().count() < 15 && shown.contains("a.yaml:1:1") && shown.contains("a.yaml:1000:"), "{shown}");
}

#[test]
fn long_lines_are_named_but_not_quoted() {
    let one = format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20));
    let sources = sources(&[("a.json", &one)]);
    let mut found = Diagnostics::default();
    found.error(codes::R6, span(0, 500, 510), "deep inside");
    assert_eq!(text(&found, &sources), "error[R6]: deep inside\n--> a.json:1:501");
}

#[test]
fn any_span_of_any_text_is_rendered() {
    for source in ["", "é", "\u{feff}é\r\n\té", "a\u{1b}[31mb\n", "\n\n\n", "no end"] {
        let sources = sources(&[("a", source)]);
        for start in 0..8 {
            for end in 0..8 {
                let mut found = Diagnostics::default();
                found
                    .error(codes::R1, span(0, start, end), "m")
                    .related(span(0, end, start), "r")
                    .related(span(9, 1, 2), "none");
                assert!(text(&found, &sources).starts_with("error[R1]: m"));
                let place = Finding::new(found.iter().next().unwrap(), &sources).place;
                assert!(place.line > 0 && place.column > 0);
            }
        }
    }
}

#[test]
fn quoted_texts_cannot_reach_the_terminal_or_fill_it() {
    let sources = sources(&[("a", "\u{1b}[2Jx\n")]);
    let mut found = Diagnostics::default();
    found.error(codes::R1, span(0, 0, 4), format!("\u{1b}[2J\r\n{}", "y".repeat(10_000))).help("\u{9b}2J");
    for style in [Style::Plain, Style::Colour] {
        let shown = to_text(&found, &sources, style);
        assert!(!shown.contains("\u{1b}[2J") && !shown.contains('\u{9b}') && !shown.contains('\r'), "{shown:?}");
        assert!(shown.len() < 2_000);
    }
}

#[test]
fn order_is_by_place_and_errors_come_first_where_room_is_short() {
    let mut found = Diagnostics::default();
    found.warning(codes::W1, span(0, 1, 2), "warning");
    for at in [9, 5, 5] {
        found.error(codes::R1, span(0, at, at), "error");
    }
    let places = |found: &Diagnostics| found.iter().map(|one| one.span.start).collect::<Vec<_>>();
    assert_eq!(places(&found.clone().sorted(10)), [1, 5, 9]);
    assert_eq!(places(&found.sorted(2)), [5, 9]);
}
