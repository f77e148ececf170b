//! Traces: a span for every request that is served and for every call that it makes, sent to a
//! collector (OTLP over HTTP).
//!
//! A span is begun before the work, because what it is called by goes along with the work: the
//! `traceparent` of a request names the span of whoever serves it, so that central's span stands below
//! the store's call, and that below the store's own request. Without a collector nothing of this
//! happens, and a caller's `traceparent` is passed on as it came.
//!
//! Sent by a thread of its own with a bounded queue: a collector that is slow or away costs spans and
//! no request. How many requests are traced is `OTEL_TRACES_SAMPLER`'s to say, which the library reads,
//! as it does the other variables of the OpenTelemetry specification; by default it is all of them, and
//! whoever was traced by the caller.
//!
//! What must stay true: a span is named after a route's template, never after a path, and holds no key,
//! no body and no id of a product or a person.

use std::fmt;
use std::sync::OnceLock;

use http::HeaderValue;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// The settings, as text.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TracesArgs {
    /// Collector that spans are sent to (OTLP over HTTP, such as `http://127.0.0.1:4318`); without one
    /// there are no spans.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otel_exporter_otlp_endpoint: Option<String>,
    /// What spans call this service; its own name if not given.
    #[arg(long, env = "OTEL_SERVICE_NAME")]
    pub otel_service_name: Option<String>,
}

impl TracesArgs {
    /// Checks them.
    ///
    /// # Errors
    /// A line that names the variable.
    pub fn check(self, service: &str) -> Result<TracesConfig, String> {
        let endpoint = self
            .otel_exporter_otlp_endpoint
            .filter(|text| !text.is_empty());
        let usable = |text: &String| {
            let uri = text.parse::<http::Uri>();
            uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
        };
        if endpoint.as_ref().is_some_and(|text| !usable(text)) {
            return Err("OTEL_EXPORTER_OTLP_ENDPOINT: is not an http(s) URL".to_owned());
        }
        let named = self.otel_service_name.filter(|name| !name.is_empty());
        Ok(TracesConfig {
            endpoint,
            service: named.unwrap_or_else(|| service.to_owned()),
        })
    }
}

/// The settings, checked.
#[derive(Clone, Debug, Default)]
pub struct TracesConfig {
    /// Where spans go, if anywhere.
    pub endpoint: Option<String>,
    /// What they call this service.
    pub service: String,
}

/// What spans are begun with, once they are sent anywhere.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends what waits when it is finished.
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Begins to send spans, for the rest of the process. Blocking; not on a thread of a runtime.
    ///
    /// # Errors
    /// The collector's address cannot be used.
    pub fn start(config: &TracesConfig) -> Result<Self, ExporterBuildError> {
        let Some(endpoint) = &config.endpoint else {
            return Ok(Self(None));
        };
        // The exporter's client asks for one; whoever comes second finds it there.
        drop(rustls::crypto::ring::default_provider().install_default());
        let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder().with_http();
        let exporter = exporter.with_endpoint(endpoint).build()?;
        let resource = Resource::builder().with_service_name(config.service.clone());
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        // A second start in one process goes on with the first.
        drop(TRACER.set(provider.tracer("holdfast")));
        Ok(Self(Some(provider)))
    }

    /// Sends what waits. Blocking; not on a thread of a runtime.
    pub fn finish(self) {
        if let Some(Err(error)) = self.0.map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Work that is under way; ends when it is dropped.
pub struct Span(opentelemetry_sdk::trace::Span);

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = self.0.span_context();
        f.debug_struct("Span")
            .field("trace", &context.trace_id())
            .field("span", &context.span_id())
            .finish()
    }
}

impl Span {
    /// A request that is served, below the caller's span if that sent one. `None` if spans are sent
    /// nowhere.
    pub fn served(name: impl FnOnce() -> String, parent: Option<&HeaderValue>) -> Option<Self> {
        Self::begin(SpanKind::Server, name, parent)
    }

    /// A call to another service, likewise.
    pub fn called(name: impl FnOnce() -> String, parent: Option<&HeaderValue>) -> Option<Self> {
        Self::begin(SpanKind::Client, name, parent)
    }

    fn begin(
        kind: SpanKind,
        name: impl FnOnce() -> String,
        parent: Option<&HeaderValue>,
    ) -> Option<Self> {
        let tracer = TRACER.get()?;
        let above = match parent.and_then(remote) {
            Some(context) => Context::new().with_remote_span_context(context),
            None => Context::new(),
        };
        let span = tracer.span_builder(name()).with_kind(kind);
        Some(Self(span.start_with_context(tracer, &above)))
    }

    /// What goes along with the work, so that what it causes stands below this span.
    #[must_use]
    pub fn traceparent(&self) -> Option<HeaderValue> {
        let context = self.0.span_context();
        let (trace, span) = (context.trace_id(), context.span_id());
        let flags = context.trace_flags().to_u8();
        HeaderValue::try_from(format!("00-{trace}-{span}-{flags:02x}")).ok()
    }

    /// The work ended with an answer.
    pub fn answered(mut self, status: u16) {
        let code = KeyValue::new("http.response.status_code", i64::from(status));
        self.0.set_attribute(code);
        if status >= 500 {
            self.0.set_status(Status::error(""));
        }
    }

    /// No answer came.
    pub fn failed(mut self, why: &'static str) {
        self.0.set_status(Status::error(why));
    }
}

/// The span that a well-formed `traceparent` names.
fn remote(traceparent: &HeaderValue) -> Option<SpanContext> {
    let mut parts = traceparent.to_str().ok()?.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_what_is_wrong_with_them() {
        let args = |endpoint: &str, name: &str| TracesArgs {
            otel_exporter_otlp_endpoint: Some(endpoint.to_owned()),
            otel_service_name: Some(name.to_owned()),
        };
        for bad in ["collector:4318", "ftp://collector", "not a url"] {
            let fault = args(bad, "").check("central-api").unwrap_err();
            assert!(
                fault.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: "),
                "{fault}"
            );
        }
        let config = args("http://127.0.0.1:4318", "")
            .check("central-api")
            .unwrap();
        assert_eq!(config.endpoint.as_deref(), Some("http://127.0.0.1:4318"));
        assert_eq!(config.service, "central-api");
        let config = args("", "till").check("central-api").unwrap();
        assert_eq!((config.endpoint, config.service.as_str()), (None, "till"));
    }

    #[test]
    fn without_a_collector_there_is_no_span() {
        let name = || unreachable!("a name is made for nobody");
        assert!(Span::served(name, None).is_none());
    }

    #[test]
    fn the_callers_span_is_found_in_its_header() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
        let found = remote(&HeaderValue::from_static(header)).unwrap();
        assert_eq!(
            found.trace_id().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(found.span_id().to_string(), "00f067aa0ba902b7");
        assert!(found.is_sampled() && found.is_remote());
        for bad in [
            "",
            "00-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-x-y-z",
        ] {
            assert!(remote(&HeaderValue::from_static(bad)).is_none(), "{bad}");
        }
    }
}
