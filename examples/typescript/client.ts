// An example of a client of booking-svc: it holds a table, repeats the same request, asks for a table that is
// taken, makes a mistake, and confirms. docs/clients.md explains what it does and why; examples/README.md how to
// run it.
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { create, describe, dial, promise } from "./booking.js";
import type { Service, ServiceError } from "./booking.js";
import type { Booking__Output } from "./gen/booking/Booking.js";
import type { CreateBookingRequest } from "./gen/booking/CreateBookingRequest.js";

/** Answers why a create that must not succeed was refused. */
async function refused(service: Service, request: CreateBookingRequest): Promise<string> {
  let booking: Booking__Output;
  try {
    booking = await create(service, request);
  } catch (error) {
    return describe(error as ServiceError);
  }
  throw new Error(`${booking.id} should not have been booked`);
}

async function run(service: Service, wanted: CreateBookingRequest): Promise<void> {
  // The key belongs to what the guest asked for, not to the attempt: keep it with that until the answer is clear.
  const request = { ...wanted, idempotency_key: randomUUID() };
  const held = await create(service, request);
  console.log("held", held.id, held.table?.table_id, held.slot?.date, held.slot?.start_time);
  console.log("same", (await create(service, request)).id);

  const other = { ...request, idempotency_key: randomUUID() };
  console.log("refused", await refused(service, other));
  console.log("refused", await refused(service, { ...other, party_size: 0, slot: { ...other.slot, start_time: "7 pm" } }));

  // Asking for the state that a booking is in already answers it, so this may be repeated: by the service config.
  const confirmed = await promise<Booking__Output>((done) =>
    service.ConfirmBooking({ id: held.id, admin_id: "example" }, done),
  );
  console.log(confirmed.status, confirmed.id);
}

const tomorrow = new Date(Date.now() + 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
const { values: flags } = parseArgs({
  options: {
    address: { type: "string", default: "localhost:50052" },
    venue: { type: "string", default: "venue-1" },
    table: { type: "string", default: "table-1" },
    date: { type: "string", default: tomorrow }, // local to the venue, as the time
    time: { type: "string", default: "19:00" },
  },
});
const service = dial(flags.address);
try {
  await run(service, {
    venue_id: flags.venue, table: { table_id: flags.table }, slot: { date: flags.date, start_time: flags.time },
    party_size: 2, customer_name: "Ada Lovelace", admin_id: "example",
  });
} catch (error) {
  console.error(`client: ${error instanceof Error && "code" in error ? describe(error as ServiceError) : error}`);
  process.exitCode = 1;
} finally {
  service.close();
}
