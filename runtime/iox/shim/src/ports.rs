//! Services and ports, with every quality of service set from the spec.

use std::sync::Arc;

use iceoryx2::node::Node;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::{Notifier, NotifierCreateError};
use iceoryx2::port::publisher::{Publisher, PublisherCreateError};
use iceoryx2::port::subscriber::{Subscriber, SubscriberCreateError};
use iceoryx2::port::{LoanError, ReceiveError};
use iceoryx2::prelude::*;
use iceoryx2::sample::Sample;
use iceoryx2::sample_mut::SampleMut;
use iceoryx2::service::builder::event::{Builder as EventBuilder, EventCreateError, EventOpenError};
use iceoryx2::service::builder::publish_subscribe::{
    Builder as PubSubBuilder, PublishSubscribeCreateError, PublishSubscribeOpenError,
};
use iceoryx2::service::port_factory::{event, publish_subscribe};

use crate::domain::Domain;
use crate::failure::{Code, Failure, coded, fitted, other};

/// Goroutines move between threads, so ports must not belong to one.
pub type Ipc = ipc_threadsafe::Service;

/// The frame header, for its name and layout; its fields are Go's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, ZeroCopySend)]
#[type_name("MedianodeFrame")]
pub struct FrameHeader([u64; 16]);

pub type Loaned = SampleMut<Ipc, [u8], FrameHeader>;
pub type Received = Sample<Ipc, [u8], FrameHeader>;

/// What iceoryx2 must know of a channel.
pub struct Spec {
    pub name: ServiceName,
    pub credit: ServiceName,
    pub max_frame: usize,
    pub max_subscribers: usize,
    pub max_nodes: usize,
    pub buffer: usize,
    pub hold: usize,
    pub loans: usize,
    /// Sent frames that the writer keeps; as a reader's, those it asks for.
    pub history: usize,
}

/// A node with the domain it is in. The domain is last: it goes when nothing is
/// left that may remove a segment.
pub struct NodeHandle {
    pub node: Node<Ipc>,
    pub domain: Arc<Domain>,
}

/// The services of a channel, which exist while somebody has them open.
pub struct Channel {
    pub pubsub: publish_subscribe::PortFactory<Ipc, [u8], FrameHeader>,
    pub data: event::PortFactory<Ipc>,
    pub credit: event::PortFactory<Ipc>,
    pub domain: Arc<Domain>,
}

pub struct Outlet {
    pub publisher: Publisher<Ipc, [u8], FrameHeader>,
    pub domain: Arc<Domain>,
}

pub struct Inlet {
    pub subscriber: Subscriber<Ipc, [u8], FrameHeader>,
    pub max_frame: u64,
    pub domain: Arc<Domain>,
}

/// An unsent frame. It keeps its memory mapped by itself, also after the port.
pub struct Loan {
    pub sample: Loaned,
    pub domain: Arc<Domain>,
}

/// A received frame. It keeps its memory mapped by itself, also after the port.
pub struct Held {
    pub sample: Received,
    pub domain: Arc<Domain>,
}

/// The means to wake the other end and to be woken.
pub struct Bell {
    pub notifier: Notifier<Ipc>,
    pub listener: Listener<Ipc>,
    pub domain: Arc<Domain>,
}

impl NodeHandle {
    /// Opens a node with a configuration of its own: no file and no global
    /// default decides where anything is.
    pub fn open(root: &[u8], domain: Arc<Domain>) -> Result<NodeHandle, Failure> {
        let mut config = Config::default();
        config.global.prefix =
            FileName::new(&domain.prefix).map_err(|e| coded(Code::Invalid, format!("prefix: {e:?}")))?;
        let root = Path::new(root).map_err(|e| coded(Code::Invalid, format!("root path: {e:?}")))?;
        config.global.set_root_path(&root);
        let node = NodeBuilder::new()
            .config(&config)
            .signal_handling_mode(SignalHandlingMode::Disabled)
            .create::<Ipc>()
            .map_err(|e| other("open node", e));
        Ok(NodeHandle { node: fitted(node)?, domain })
    }

    fn pubsub(&self, s: &Spec) -> PubSubBuilder<[u8], FrameHeader, Ipc> {
        // Safe overflow is what drop_oldest does. Under block the writer's
        // credits never let a queue get that far. So nothing here ever waits.
        self.node
            .service_builder(&s.name)
            .publish_subscribe::<[u8]>()
            .user_header::<FrameHeader>()
            .enable_safe_overflow(true)
            .history_size(s.history)
            .max_publishers(1)
            .max_subscribers(s.max_subscribers)
            .max_nodes(s.max_nodes)
            .subscriber_max_buffer_size(s.buffer)
            .subscriber_max_borrowed_samples(s.hold)
    }

    fn event(
        &self,
        name: &ServiceName,
        listeners: usize,
        notifiers: usize,
        nodes: usize,
    ) -> EventBuilder<Ipc> {
        self.node
            .service_builder(name)
            .event()
            .max_listeners(listeners)
            .max_notifiers(notifiers)
            .max_nodes(nodes)
            .event_id_max_value(1)
            .disable_deadline()
            .disable_notifier_created_event()
            .disable_notifier_dropped_event()
            .disable_notifier_dead_event()
    }

    fn data(&self, s: &Spec) -> EventBuilder<Ipc> {
        self.event(&s.name, s.max_subscribers, 2, s.max_nodes)
    }

    fn credit(&self, s: &Spec) -> EventBuilder<Ipc> {
        self.event(&s.credit, 1, s.max_subscribers + 1, s.max_nodes)
    }

    pub fn create(&self, s: &Spec) -> Result<Channel, Failure> {
        let event = |e: EventCreateError| match e {
            EventCreateError::AlreadyExists => coded(Code::Exists, e),
            e => other("create event service", e),
        };
        let pubsub = self.pubsub(s).create().map_err(|e| match e {
            PublishSubscribeCreateError::AlreadyExists => coded(Code::Exists, e),
            e => other("create service", e),
        });
        Ok(Channel {
            pubsub: fitted(pubsub)?,
            data: fitted(self.data(s).create().map_err(event))?,
            credit: fitted(self.credit(s).create().map_err(event))?,
            domain: self.domain.clone(),
        })
    }

    fn open_pubsub(
        &self,
        s: &Spec,
    ) -> Result<publish_subscribe::PortFactory<Ipc, [u8], FrameHeader>, Failure> {
        fitted(self.pubsub(s).open().map_err(|e| match e {
            PublishSubscribeOpenError::DoesNotExist => coded(Code::Missing, e),
            PublishSubscribeOpenError::ExceedsMaxNumberOfNodes => coded(Code::Occupied, e),
            e => other("open service", e),
        }))
    }

    pub fn outlet(&self, s: &Spec) -> Result<Outlet, Failure> {
        let publisher = self
            .open_pubsub(s)?
            .publisher_builder()
            .max_loaned_samples(s.loans)
            .initial_max_slice_len(s.max_frame)
            .allocation_strategy(AllocationStrategy::Static)
            .backpressure_strategy(BackpressureStrategy::DiscardData)
            .create()
            .map_err(|e| match e {
                PublisherCreateError::ExceedsMaxSupportedPublishers => coded(Code::Occupied, e),
                e => other("create publisher", e),
            });
        Ok(Outlet { publisher: fitted(publisher)?, domain: self.domain.clone() })
    }

    pub fn inlet(&self, s: &Spec, buffer: usize) -> Result<Inlet, Failure> {
        let subscriber = self
            .open_pubsub(s)?
            .subscriber_builder()
            .buffer_size(buffer)
            .history_request(s.history.min(buffer))
            .create();
        let subscriber = subscriber.map_err(|e| match e {
            SubscriberCreateError::ExceedsMaxSupportedSubscribers => coded(Code::Occupied, e),
            e => other("create subscriber", e),
        });
        Ok(Inlet {
            subscriber: fitted(subscriber)?,
            max_frame: s.max_frame as u64,
            domain: self.domain.clone(),
        })
    }

    /// The bell of the writer's end or of a reader's.
    pub fn bell(&self, s: &Spec, writer: bool) -> Result<Bell, Failure> {
        let open = |b: EventBuilder<Ipc>| {
            fitted(b.open().map_err(|e| match e {
                EventOpenError::DoesNotExist => coded(Code::Missing, e),
                EventOpenError::ExceedsMaxNumberOfNodes => coded(Code::Occupied, e),
                e => other("open event service", e),
            }))
        };
        let (data, credit) = (open(self.data(s))?, open(self.credit(s))?);
        let (heard, rung) = if writer { (credit, data) } else { (data, credit) };
        let listener = heard.listener_builder().create().map_err(|e| {
            use iceoryx2::port::listener::ListenerCreateError as E;
            match e {
                E::ExceedsMaxSupportedListeners => coded(Code::Occupied, e),
                e => other("create listener", e),
            }
        });
        let notifier =
            rung.notifier_builder().default_event_id(EventId::new(0)).create().map_err(|e| match e {
                NotifierCreateError::ExceedsMaxSupportedNotifiers => coded(Code::Occupied, e),
                e => other("create notifier", e),
            });
        Ok(Bell { notifier: fitted(notifier)?, listener: fitted(listener)?, domain: self.domain.clone() })
    }
}

impl Outlet {
    pub fn loan(&self, n: usize) -> Result<Loan, Failure> {
        let sample = self.publisher.loan_slice_uninit(n).map_err(|e| match e {
            LoanError::ExceedsMaxLoans => coded(Code::Loaned, e),
            LoanError::ExceedsMaxLoanSize => coded(Code::TooLarge, e),
            e => other("loan", e),
        })?;
        // SAFETY: any bytes are a payload; the writer fills them before it sends.
        let sample = unsafe { sample.assume_init() };
        Ok(Loan { sample, domain: self.domain.clone() })
    }
}

impl Inlet {
    /// One frame that has arrived. A subscriber that cannot map what a writer
    /// left behind has nothing to receive from it.
    pub fn receive(&self) -> Result<Option<Held>, Failure> {
        match self.subscriber.receive() {
            Ok(None) => Ok(None),
            Ok(Some(sample)) => Ok(Some(Held { sample, domain: self.domain.clone() })),
            Err(e @ ReceiveError::ExceedsMaxBorrows) => Err(coded(Code::Held, e)),
            Err(e) => fitted(Err(other("receive", e))),
        }
    }
}

impl Bell {
    /// Takes all wake-ups that have arrived and says whether there were any.
    pub fn drain(&self) -> Result<bool, Failure> {
        let mut rung = false;
        loop {
            match self.listener.try_wait(|_| ()) {
                Ok(0) => return Ok(rung),
                Ok(_) => rung = true,
                // A signal: go on.
                Err(iceoryx2::port::listener::ListenerWaitError::InterruptSignal) => {}
                Err(e) => return Err(other("wait", format!("{e:?}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames, limits with their codes, and a frame that outlives its ports.
    #[test]
    fn a_frame_goes_through() {
        let base = std::env::temp_dir().join(format!("medianode-iox-{}-frame", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        let domain = Domain::register(b"frame_", &base).unwrap();
        let listed = domain.enter();
        let node = NodeHandle::open(base.to_str().unwrap().as_bytes(), domain.clone()).unwrap();
        let name = |n: &str| ServiceName::new(n).unwrap();
        let spec = Spec {
            name: name("a"),
            credit: name("a~credit"),
            max_frame: 16,
            max_subscribers: 1,
            max_nodes: 4,
            buffer: 2,
            hold: 1,
            loans: 1,
            history: 0,
        };
        assert_eq!(node.outlet(&spec).err().unwrap().code, Code::Missing);
        let channel = node.create(&spec).unwrap();
        assert_eq!(node.create(&spec).err().unwrap().code, Code::Exists);
        let (outlet, inlet) = (node.outlet(&spec).unwrap(), node.inlet(&spec, 2).unwrap());
        assert_eq!(node.outlet(&spec).err().unwrap().code, Code::Occupied);
        assert_eq!(outlet.loan(17).err().unwrap().code, Code::TooLarge);
        for _ in 0..2 {
            let mut loan = outlet.loan(3).unwrap();
            assert_eq!(outlet.loan(3).err().unwrap().code, Code::Loaned);
            loan.sample.payload_mut().copy_from_slice(b"abc");
            loan.sample.send().unwrap();
        }
        let held = inlet.receive().unwrap().unwrap();
        assert_eq!(inlet.receive().err().unwrap().code, Code::Held);
        drop((outlet, inlet, channel, node));
        assert_eq!(held.sample.payload(), b"abc");
        drop((held, listed));
        std::fs::remove_dir_all(base).unwrap();
    }
}
