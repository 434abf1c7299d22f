//! What the demo says besides showing its calls.

use std::net::SocketAddr;
use std::path::Path;

use super::columns::Screen;

/// Where everything listens.
pub(super) struct Addresses {
    pub(super) gateway: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) old: SocketAddr,
    pub(super) new: SocketAddr,
}

pub(super) fn start(at: &Addresses, rules: &Path) -> String {
    let rules = rules.display();
    format!(
        "Bifocal demo: one interface, two versions, and either service can answer for both.\n\n  \
         gateway       http://{}      rules: {rules}/orders/v1-v2.yaml\n  \
         admin         http://{}      /generation /reload /metrics /readyz\n  \
         orders v1     http://{}     the old service\n  \
         orders v2     http://{}     the new service\n\n",
        at.gateway, at.admin, at.old, at.new
    )
}

/// What to try, each line as it can be typed.
pub(super) fn end(at: &Addresses, rules: &Path, screen: Screen) -> String {
    let Addresses { gateway, admin, .. } = at;
    let file = rules.join("orders/v1-v2.yaml");
    let file = file.display();
    let mut out = String::new();
    let mut say = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    say(&screen.bold("Try it from another terminal"));
    say(&format!("  curl http://{gateway}/orders/ord_1042                              # old client, new service"));
    say(&format!("  curl http://{gateway}/v2/orders/ord_1042                           # new client, new service"));
    say(&format!("  curl http://{gateway}/v2/orders/ord_1042 -H 'Bifocal-Answer: v1'   # new client, old service"));
    say(&format!("  curl http://{gateway}/orders -H 'API-Version: 3'                   # no such version"));
    say("");
    say(&screen.bold("Change a rule while this runs"));
    say("  Old clients read delivered orders as `closed`. Let them read `shipped`:");
    say(&format!("    curl http://{gateway}/orders/ord_1044"));
    say(&format!("    sed -i 's/closed, DELIVERED/shipped, DELIVERED/' {file}"));
    say(&format!("    curl http://{gateway}/orders/ord_1044"));
    say("  Now break it. The mistake is shown here, and the last good rules go on:");
    say(&format!("    sed -i 's/= customer.email/= customer.mail/' {file}"));
    say(&format!("    curl http://{gateway}/orders/ord_1044"));
    say(&format!("    curl http://{admin}/generation"));
    say("  And mend it:");
    say(&format!("    sed -i 's/= customer.mail/= customer.email/; s/shipped, DELIVERED/closed, DELIVERED/' {file}"));
    say("");
    say("Serving until Ctrl-C.");
    out
}
