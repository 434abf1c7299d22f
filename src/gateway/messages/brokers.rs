//! Settings -> brokers. Nothing is connected to here: flows do that.

use super::Brokers;
#[cfg(any(feature = "amqp", feature = "nats"))]
use crate::messaging::brokers::Tls;
#[cfg(feature = "amqp")]
use crate::messaging::brokers::amqp::{self, Amqp};
#[cfg(feature = "nats")]
use crate::messaging::brokers::nats::{self, Identity, Nats};
use crate::settings;
#[cfg(any(feature = "amqp", feature = "nats"))]
use crate::settings::{BrokerKind, BrokerSettings};

/// All brokers of the settings. Those that this program was built without are none: the settings have refused them.
pub(super) fn build(settings: &settings::Brokers) -> Brokers {
    #[cfg_attr(not(any(feature = "amqp", feature = "nats")), expect(unused_mut, reason = "there is nothing to add"))]
    let mut brokers = Brokers::new();
    for (name, one) in settings {
        match one.kind {
            #[cfg(feature = "amqp")]
            BrokerKind::Amqp => {
                brokers.insert(name.clone(), std::sync::Arc::new(Amqp::new(amqp(one))));
            }
            #[cfg(feature = "nats")]
            BrokerKind::Nats => {
                brokers.insert(name.clone(), std::sync::Arc::new(Nats::new(nats(one))));
            }
            #[cfg(not(all(feature = "amqp", feature = "nats")))]
            _ => tracing::error!(broker = %name, "this program was built without what it speaks"),
        }
    }
    brokers
}

#[cfg(any(feature = "amqp", feature = "nats"))]
fn tls(one: &BrokerSettings) -> Tls {
    let identity = one.certificate.as_ref().map(|pair| (pair.chain.clone(), pair.key.clone()));
    Tls { ca: one.ca.clone(), identity }
}

#[cfg(feature = "amqp")]
fn amqp(one: &BrokerSettings) -> amqp::Settings {
    amqp::Settings {
        urls: one.urls.clone(),
        username: one.username.clone(),
        password: one.password.clone(),
        // Whoever shows a certificate and gives no name is who the certificate says.
        external: one.certificate.is_some() && one.username.is_none(),
        tls: tls(one),
        ..amqp::Settings::default()
    }
}

#[cfg(feature = "nats")]
fn nats(one: &BrokerSettings) -> nats::Settings {
    let identity = match (&one.username, &one.password, &one.token, &one.credentials) {
        (Some(name), Some(password), ..) => Identity::User { name: name.clone(), password: password.clone() },
        (.., Some(token), _) => Identity::Token(token.clone()),
        (.., Some(file)) => Identity::File(file.clone()),
        _ => Identity::None,
    };
    nats::Settings { urls: one.urls.clone(), identity, tls: tls(one), ..nats::Settings::default() }
}
