//! `docs/async.md` shows what is so.

use http::StatusCode;

use super::support::*;

/// One request of the page and what it says of the answer.
#[derive(Default)]
struct Shown {
    asked: Vec<String>,
    told: Vec<String>,
}

fn exchanges(page: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    let blocks = page.split("```exchange\n").skip(1).filter_map(|rest| rest.split("```").next());
    for line in blocks.flat_map(str::lines) {
        if let Some(asked) = line.strip_prefix("> ") {
            if all.last().is_none_or(|shown| !shown.told.is_empty()) {
                all.push(Shown::default());
            }
            all.last_mut().unwrap().asked.push(asked.to_owned());
        } else {
            all.last_mut().unwrap().told.push(line.strip_prefix("< ").unwrap().to_owned());
        }
    }
    all
}

#[tokio::test]
async fn the_exchanges_of_the_page_go_as_shown() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/async.md")).unwrap();
    let service = Service::start(|seen| {
        let mut response = json(seen.text());
        *response.status_mut() = StatusCode::CREATED;
        response
    })
    .await;
    let shown = page.split("```yaml service.yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let mut rules = orders(None, Some(service.addr), "v2");
    rules[0].1 = shown.replace("127.0.0.1:9102", &service.addr.to_string());
    let gateway = Gateway::start(&rules, vec![]).await;
    let (mut location, all) = (String::new(), exchanges(&page));
    assert!(all.len() > 6);
    for Shown { asked, told } in all {
        let line = asked[0].replace("{location}", &location);
        let (body, headers): (Vec<&str>, Vec<&str>) =
            asked.iter().skip(1).map(String::as_str).partition(|text| text.starts_with('{'));
        let body = body.first().copied().unwrap_or_default();
        let (status, code) = told[0].split_once(' ').unwrap_or((&told[0], ""));
        // What takes its time is asked again until it is as shown.
        let answer = eventually(|| async {
            let answer = gateway.ask(&line, &headers, body.as_bytes()).await;
            (answer.status.to_string() == status || line.starts_with("POST")).then_some(answer)
        })
        .await;
        assert_eq!(answer.status.to_string(), status, "{line}: {answer:?}");
        assert!(code.is_empty() || answer.code() == code, "{line}: {answer:?}");
        for told in told.iter().skip(1) {
            match told.split_once(':') {
                Some((name, value)) if !told.starts_with('{') => {
                    assert_eq!(answer.header(name), value.trim(), "{line}");
                }
                _ => assert!(same(answer.text(), told), "{line}: {answer:?}"),
            }
        }
        if !answer.header("location").is_empty() {
            answer.header("location").clone_into(&mut location);
        }
    }
}
