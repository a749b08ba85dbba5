"""An example of a client of booking-svc: it holds a table, repeats the same request, asks for a table that is
taken, makes a mistake, and confirms. docs/clients.md explains what it does and why; examples/README.md how to run it.
"""

import argparse
import datetime
import random
import sys
import time
import uuid
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from booking import booking_pb2, booking_pb2_grpc

# Balancing, health checks, limits and retries, as docs/clients.md recommends them: the same file for all languages.
SERVICE_CONFIG = Path(__file__).parent.parent / "client" / "service_config.json"

# Limits of a call, in seconds: gRPC's core does not tell the service those of the service config.
CREATE_TIMEOUT, CALL_TIMEOUT = 6.0, 10.0

# How long a create is tried for, and the waits between attempts, in seconds.
PATIENCE = 20.0
FIRST_BACKOFF, MAX_BACKOFF = 0.2, 5.0


def dial(address: str) -> grpc.Channel:
    """Makes a channel to every address that the name has. It connects in the background."""
    return grpc.insecure_channel(
        f"dns:///{address}",
        options=[
            ("grpc.service_config", SERVICE_CONFIG.read_text()),
            # A replica that is gone without a word is noticed while a call waits for it.
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 5_000),
        ],
    )


def detail(error: grpc.RpcError, message):
    """Answers the detail of that type that came with an error, an empty one if none did."""
    status = rpc_status.from_call(error)
    found = message()
    for packed in status.details if status else ():
        if packed.Unpack(found):
            break
    return found


def retry_delay(error: grpc.RpcError) -> float:
    """How long the service asks to wait, in seconds; 0 if it does not."""
    return detail(error, error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds()


def create(service: booking_pb2_grpc.BookingServiceStub, request: booking_pb2.CreateBookingRequest) -> booking_pb2.Booking:
    """Holds a table and tries again until the answer is clear, or PATIENCE is over.

    gRPC's own retries are off for this method: they know neither whether there is a key nor what RetryInfo says.
    """
    if not request.idempotency_key:
        raise ValueError("a create without an idempotency key cannot be tried again")
    deadline = time.monotonic() + PATIENCE
    backoff = FIRST_BACKOFF
    while True:
        try:
            return service.CreateBooking(request, timeout=CREATE_TIMEOUT)  # Each attempt has its own.
        except grpc.RpcError as error:
            asked = retry_delay(error)
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED) and not asked:
                raise
            # Not all clients at the same moment.
            wait = asked * random.uniform(1, 1.5) if asked else backoff * random.uniform(0.5, 1.5)
            if time.monotonic() + wait > deadline:
                raise  # The outcome may be unknown: ask later, with the same key.
            time.sleep(wait)
            backoff = min(2 * backoff, MAX_BACKOFF)


def describe(error: grpc.RpcError) -> str:
    """Tells what is wrong in one line. Programs decide by code and reason; the message is for people and may change."""
    fields = detail(error, error_details_pb2.BadRequest).field_violations
    if fields:
        return f"{error.code().name}: " + "; ".join(f"{v.field} {v.description}" for v in fields)
    reason = detail(error, error_details_pb2.ErrorInfo).reason
    return f"{error.code().name} {reason}: {error.details()}"


def refused(service: booking_pb2_grpc.BookingServiceStub, request: booking_pb2.CreateBookingRequest) -> str:
    """Answers why a create that must not succeed was refused."""
    try:
        booking = create(service, request)
    except grpc.RpcError as error:
        return describe(error)
    raise AssertionError(f"{booking.id} should not have been booked")


def run(address: str, request: booking_pb2.CreateBookingRequest) -> None:
    with dial(address) as channel:
        service = booking_pb2_grpc.BookingServiceStub(channel)

        # The key belongs to what the guest asked for, not to the attempt: keep it with that until the answer is clear.
        request.idempotency_key = str(uuid.uuid4())
        held = create(service, request)
        print("held", held.id, held.table.table_id, held.slot.date, held.slot.start_time)
        print("same", create(service, request).id)

        other = booking_pb2.CreateBookingRequest()
        other.CopyFrom(request)
        other.idempotency_key = str(uuid.uuid4())
        print("refused", refused(service, other))

        other.party_size = 0
        other.slot.start_time = "7 pm"
        print("refused", refused(service, other))

        # Asking for the state that a booking is in already answers it, so this may be repeated: by the service config.
        confirmed = service.ConfirmBooking(
            booking_pb2.ConfirmBookingRequest(id=held.id, admin_id="example"), timeout=CALL_TIMEOUT
        )
        print(confirmed.status, confirmed.id)


def main() -> None:
    tomorrow = (datetime.date.today() + datetime.timedelta(days=1)).isoformat()
    flags = argparse.ArgumentParser(description="Holds and confirms a table.")
    flags.add_argument("--address", default="localhost:50052", help="the service, host:port")
    flags.add_argument("--venue", default="venue-1")
    flags.add_argument("--table", default="table-1")
    flags.add_argument("--date", default=tomorrow, help="local to the venue")
    flags.add_argument("--time", default="19:00", help="local to the venue")
    o = flags.parse_args()
    request = booking_pb2.CreateBookingRequest(
        venue_id=o.venue, party_size=2, customer_name="Ada Lovelace", admin_id="example",
        table={"table_id": o.table}, slot={"date": o.date, "start_time": o.time},
    )
    try:
        run(o.address, request)
    except grpc.RpcError as error:
        sys.exit(f"client: {describe(error)}")


if __name__ == "__main__":
    main()
