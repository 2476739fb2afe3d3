/*
 * C functions over iceoryx2, implemented by the Rust crate in shim/.
 *
 * A handle that a function puts into `out` is the caller's until its _drop
 * function. The caller sees to it that no call is under way on a handle that it
 * drops; otherwise any thread may call anything. Loans and received frames keep
 * their memory mapped by themselves: they may outlive the port.
 *
 * Functions return an iox_code. Unless it is IOX_OK, `text` holds what the
 * library says, and for IOX_NO_SPACE the bytes wanted and the bytes free.
 */
#ifndef MEDIANODE_IOX_H
#define MEDIANODE_IOX_H

#include <stdint.h>

enum iox_code {
	IOX_OK = 0,
	IOX_OTHER = 1,
	IOX_PANIC = 2,     /* the library panicked; what it was doing is undone */
	IOX_INVALID = 3,   /* an argument */
	IOX_EXISTS = 4,    /* the channel is there */
	IOX_MISSING = 5,   /* the channel is not there */
	IOX_OCCUPIED = 6,  /* as many ports or nodes as the channel admits */
	IOX_LOANED = 7,    /* as many loans as the writer may have */
	IOX_TOO_LARGE = 8, /* larger than the channel's frames */
	IOX_HELD = 9,      /* as many frames held as the channel allows */
	IOX_NO_SPACE = 10  /* shared memory is full */
};

typedef struct iox_text {
	uint64_t need, have;
	char text[240];
} iox_text;

/* Everything that is set when a channel is created, and asked for when opened. */
typedef struct iox_spec {
	const char *name;   /* of the pub-sub service and of the event service to readers */
	const char *credit; /* of the event service to the writer */
	uint64_t max_frame; /* at least 1 */
	uint64_t max_subscribers;
	uint64_t max_nodes;
	uint64_t buffer;
	uint64_t hold;
	uint64_t loans;
	/* Sent frames that the writer keeps for readers that come back. A reader
	 * that is opened gets as many of them as its buffer holds; 0: none. */
	uint64_t history;
} iox_spec;

/* A loan or a received frame. */
typedef struct iox_frame {
	void *handle;
	void *header; /* 128 bytes, aligned to 8 */
	void *payload; /* null if len is larger than a frame can be: a peer lies */
	uint64_t len;
} iox_frame;

typedef struct iox_node iox_node;
typedef struct iox_channel iox_channel;
typedef struct iox_outlet iox_outlet;
typedef struct iox_inlet iox_inlet;
typedef struct iox_bell iox_bell;

/* The version of iceoryx2, which peers must have too. */
const char *iox_version(void);

/*
 * A node below `root`. POSIX shared memory whose name starts with `prefix` is
 * in `dir` for this process from now on, until the last handle and frame of it
 * is gone. Other names do not exist.
 */
int32_t iox_node_open(const char *root, const char *prefix, const char *dir, iox_node **out, iox_text *text);
void iox_node_drop(iox_node *node);
/* Removes what dead processes left and counts it. */
int32_t iox_node_clean(const iox_node *node, uint64_t *count, iox_text *text);

/* Makes the services of a channel, which exist while somebody has them open. */
int32_t iox_channel_create(const iox_node *node, const iox_spec *spec, iox_channel **out, iox_text *text);
void iox_channel_drop(iox_channel *channel);

int32_t iox_outlet_open(const iox_node *node, const iox_spec *spec, iox_outlet **out, iox_text *text);
void iox_outlet_drop(iox_outlet *outlet);
int32_t iox_outlet_loan(const iox_outlet *outlet, uint64_t len, iox_frame *out, iox_text *text);
/* Lets go of readers that are gone. */
int32_t iox_outlet_refresh(const iox_outlet *outlet, iox_text *text);
/* Ends the loan, also when it fails. */
int32_t iox_loan_send(void *loan, iox_text *text);
void iox_loan_drop(void *loan);

int32_t iox_inlet_open(const iox_node *node, const iox_spec *spec, uint64_t buffer, iox_inlet **out, iox_text *text);
void iox_inlet_drop(iox_inlet *inlet);
/* What has arrived, at most `max`; an error only if that is nothing. */
int32_t iox_inlet_receive(const iox_inlet *inlet, iox_frame *frames, uint64_t max, uint64_t *count, iox_text *text);
/* Whether a frame has arrived; lets go of writers that are gone. */
int32_t iox_inlet_pending(const iox_inlet *inlet, uint64_t *pending, iox_text *text);
void iox_inlet_release(void *const *handles, uint64_t n);

/* The means of one end to wake the other and to be woken. */
int32_t iox_bell_open(const iox_node *node, const iox_spec *spec, uint64_t writer, iox_bell **out, iox_text *text);
void iox_bell_drop(iox_bell *bell);
int32_t iox_bell_ring(const iox_bell *bell, iox_text *text);
/* Readable when the bell has rung; owned by the bell. */
int32_t iox_bell_fd(const iox_bell *bell);
/* Takes all wake-ups that have arrived and says whether there were any. */
int32_t iox_bell_drain(const iox_bell *bell, uint64_t *rung, iox_text *text);

#endif
