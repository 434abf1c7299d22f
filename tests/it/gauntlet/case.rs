//! A case as its file tells it, and the questions that it asks of an engine.

use super::exact::Json;

/// One documented change with exchanges as both versions see them.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) difficulty: String,
    pub(super) tags: Vec<String>,
    /// Documents rather than requests and responses: bodies are all that is compared.
    pub(super) is_message: bool,
    pub(super) exchanges: Vec<Exchange>,
}

#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) name: String,
    old: Side,
    new: Side,
    lossy: Vec<Pointer>,
    json_text: Vec<Pointer>,
    one_way: bool,
}

/// One version's view of an exchange.
#[derive(Debug)]
enum Side {
    Call {
        request: Option<Json>,
        response: Option<Json>,
    },
    /// One call of the other version is several of this one.
    Calls,
}

/// A place in one of an exchange's messages.
#[derive(Debug, Clone)]
struct Pointer {
    /// As in `new.request`.
    message: String,
    path: String,
}

/// The ways a message can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
    RequestBack,
    ResponseBack,
}

impl Way {
    pub(super) const ALL: [Self; 4] = [Self::Up, Self::Down, Self::RequestBack, Self::ResponseBack];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::RequestBack => "reverse request",
            Self::ResponseBack => "reverse response",
        }
    }

    /// Whether the message comes from the old side.
    pub(super) fn is_from_old(self) -> bool {
        matches!(self, Self::Up | Self::ResponseBack)
    }

    fn is_response(self) -> bool {
        matches!(self, Self::Down | Self::ResponseBack)
    }
}

/// One message to translate, and what must come of it.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) exchange: String,
    pub(super) way: Way,
    /// As `bifocal translate` reads it.
    pub(super) given: Json,
    expected: Json,
    /// Left out of the comparison.
    lossy: Vec<String>,
    json_text: Vec<String>,
    is_message: bool,
}

impl Case {
    /// Of a file's text; `id` where the file names none.
    pub(super) fn parse(id: &str, text: &str) -> Self {
        let file = Json::parse(text).unwrap_or_else(|error| panic!("{id}: {error}"));
        let word = |name: &str| file.get(name).map_or_else(String::new, |value| value.text().to_owned());
        let list = |name: &str| file.get(name).map_or(&[][..], Json::list);
        let case = Self {
            id: id.to_owned(),
            difficulty: word("difficulty"),
            tags: list("tags").iter().map(|tag| tag.text().to_owned()).collect(),
            is_message: word("transport") == "message",
            exchanges: list("exchanges").iter().map(Exchange::parse).collect(),
        };
        assert!(!case.exchanges.is_empty(), "{id}: no exchanges");
        case
    }

    /// Everything that it asks, and the exchanges that cannot be asked yet.
    pub(super) fn questions(&self) -> (Vec<Question>, Vec<&str>) {
        let mut questions = Vec::new();
        let mut unasked = Vec::new();
        for exchange in &self.exchanges {
            match exchange.questions(self.is_message) {
                Some(found) => questions.extend(found),
                None => unasked.push(exchange.name.as_str()),
            }
        }
        (questions, unasked)
    }
}

impl Exchange {
    fn parse(json: &Json) -> Self {
        let pointers = |name: &str| {
            json.get(name).map_or(&[][..], Json::list).iter().map(|one| Pointer {
                message: one.get("side").unwrap().text().to_owned(),
                path: one.get("path").unwrap().text().to_owned(),
            })
        };
        Self {
            name: json.get("name").unwrap().text().to_owned(),
            old: Side::parse(json.get("old").unwrap()),
            new: Side::parse(json.get("new").unwrap()),
            lossy: pointers("lossy").collect(),
            json_text: pointers("json_text").collect(),
            // The reason, where it is so.
            one_way: json.get("one_way").is_some_and(|reason| !matches!(reason.text(), "" | "null" | "false")),
        }
    }

    /// Nothing where one of its calls is several of the other version.
    fn questions(&self, is_message: bool) -> Option<Vec<Question>> {
        let (Side::Call { request: old_request, response: old_response }, Side::Call { request, response }) =
            (&self.old, &self.new)
        else {
            return None;
        };
        let asked = Way::ALL.into_iter().filter(|way| {
            let is_gate = matches!(way, Way::Up | Way::Down);
            (is_gate || !self.one_way) && !(is_message && way.is_response())
        });
        let question = |way: Way| {
            let (given, expected) = match way {
                Way::Up => (old_request, request),
                Way::Down => (response, old_response),
                Way::RequestBack => (request, old_request),
                Way::ResponseBack => (old_response, response),
            };
            let (mut given, expected) = (given.clone()?, expected.clone()?);
            if way.is_response() {
                // As its caller sent it: the version that the response goes to.
                let asked = if way.is_from_old() { request } else { old_request };
                given.members().insert("request".to_owned(), asked.clone()?);
            } else if is_message {
                for (name, value) in [("method", "POST"), ("path", "/")] {
                    given.members().insert(name.to_owned(), Json::Text(value.to_owned()));
                }
            }
            let side = if way.is_from_old() { "new" } else { "old" };
            let message = format!("{side}.{}", if way.is_response() { "response" } else { "request" });
            let paths =
                |all: &[Pointer]| all.iter().filter(|one| one.message == message).map(|one| one.path.clone()).collect();
            let (lossy, json_text) = (paths(&self.lossy), paths(&self.json_text));
            Some(Question { exchange: self.name.clone(), way, given, expected, lossy, json_text, is_message })
        };
        Some(asked.filter_map(question).collect())
    }
}

impl Side {
    fn parse(json: &Json) -> Self {
        if json.get("calls").is_some() {
            return Self::Calls;
        }
        Self::Call { request: json.get("request").cloned(), response: json.get("response").cloned() }
    }
}

impl Question {
    /// # Errors
    /// What came and what should have come.
    pub(super) fn compare(&self, came: &str) -> Result<(), String> {
        let came = self.comparable(Json::parse(came)?);
        let expected = self.comparable(self.expected.clone());
        if came == expected { Ok(()) } else { Err(format!("\n  came     {came}\n  expected {expected}")) }
    }

    /// Headers and query in one spelling, without what cannot be the same.
    fn comparable(&self, mut message: Json) -> Json {
        let members = message.members();
        members.remove("request");
        if self.is_message {
            members.retain(|name, _| name == "body");
        }
        if let Some(headers) = members.get_mut("headers") {
            let lower = std::mem::take(headers.members()).into_iter().map(|(name, value)| (name.to_lowercase(), value));
            *headers = Json::Object(lower.collect());
        }
        if let Some(query) = members.get_mut("query") {
            for value in query.members().values_mut() {
                if let Json::List(texts) = value
                    && let [text] = texts.as_slice()
                {
                    *value = text.clone();
                }
            }
        }
        for path in &self.lossy {
            message.remove(path);
        }
        for path in &self.json_text {
            message.open_text(path);
        }
        let is_empty = |value: &Json| matches!(value, Json::Object(members) if members.is_empty());
        message.members().retain(|name, value| !(matches!(name.as_str(), "headers" | "query") && is_empty(value)));
        message
    }
}
