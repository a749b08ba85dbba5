import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { MessageTypeDefinition } from "@grpc/proto-loader";
import type { Booking__Output } from "./gen/booking/Booking.js";
import type { BookingServiceClient } from "./gen/booking/BookingService.js";
import type { CreateBookingRequest } from "./gen/booking/CreateBookingRequest.js";
import type { ProtoGrpcType } from "./gen/booking.js";
import type { BadRequest__Output } from "./gen/google/rpc/BadRequest.js";
import type { ErrorInfo__Output } from "./gen/google/rpc/ErrorInfo.js";
import type { RetryInfo__Output } from "./gen/google/rpc/RetryInfo.js";
import type { Status__Output } from "./gen/google/rpc/Status.js";

export type Service = BookingServiceClient;
export type ServiceError = grpc.ServiceError;

// This file is run from dist/.
const here = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

const definition = loadSync(["booking/booking.proto", "details.proto"], {
  // The options that the types in gen/ were made with.
  keepCase: true, longs: Number, defaults: true,
  includeDirs: [here("../../proto"), here(".")],
});
const { booking } = grpc.loadPackageDefinition(definition) as unknown as ProtoGrpcType;

// Balancing, limits and retries, as docs/clients.md recommends them: the same file for all languages. This
// library does not look at healthCheckConfig.
const serviceConfig = readFileSync(here("../client/service_config.json"), "utf8");

/** Makes a client of every address that the name has. It connects in the background. */
export function dial(address: string): Service {
  return new booking.BookingService(`dns:///${address}`, grpc.credentials.createInsecure(), {
    "grpc.service_config": serviceConfig,
    // A replica that is gone without a word is noticed while a call waits for it.
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 5_000,
  });
}

/** Makes a promise of a call with a callback. */
export function promise<T>(call: (done: (error: ServiceError | null, answer?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => call((error, answer) => (error ? reject(error) : resolve(answer as T))));
}

// How long a create is tried for, and the waits between attempts, in milliseconds.
const patience = 20_000;
const firstBackoff = 200;
const maxBackoff = 5_000;

/**
 * Holds a table and tries again until the answer is clear, or patience is over. gRPC's own retries are off for this
 * method: they know neither whether there is a key nor what RetryInfo says.
 */
export async function create(service: Service, request: CreateBookingRequest): Promise<Booking__Output> {
  if (!request.idempotency_key) throw new Error("a create without an idempotency key cannot be tried again");
  const end = performance.now() + patience;
  for (let backoff = firstBackoff; ; backoff = Math.min(2 * backoff, maxBackoff)) {
    try {
      // Each attempt has its own limit, by the service config.
      return await promise<Booking__Output>((done) => service.CreateBooking(request, done));
    } catch (error) {
      const { code } = error as ServiceError;
      const asked = retryDelay(error as ServiceError);
      if (code !== grpc.status.UNAVAILABLE && code !== grpc.status.DEADLINE_EXCEEDED && !asked) throw error;
      // Not all clients at the same moment.
      const wait = asked ? asked * (1 + Math.random() / 2) : backoff * (0.5 + Math.random());
      if (performance.now() + wait > end) throw error; // The outcome may be unknown: ask later, with the same key.
      await sleep(wait);
    }
  }
}

/**
 * Tells what is wrong in one line. Programs decide by code and reason; the message is for people and may change.
 */
export function describe(error: ServiceError): string {
  const code = grpc.status[error.code];
  const fields = detail<BadRequest__Output>(error, "google.rpc.BadRequest")?.field_violations ?? [];
  if (fields.length > 0) return `${code}: ${fields.map((v) => `${v.field} ${v.description}`).join("; ")}`;
  const reason = detail<ErrorInfo__Output>(error, "google.rpc.ErrorInfo")?.reason ?? "";
  return `${code} ${reason}: ${error.details}`;
}

/** How long the service asks to wait, in milliseconds; 0 if it does not. */
function retryDelay(error: ServiceError): number {
  const delay = detail<RetryInfo__Output>(error, "google.rpc.RetryInfo")?.retry_delay;
  return delay ? Number(delay.seconds) * 1000 + delay.nanos / 1e6 : 0;
}

/** Answers the detail of that type that came with an error. */
function detail<T>(error: ServiceError, type: string): T | undefined {
  const [packed] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!(packed instanceof Buffer)) return undefined;
  const found = decode<Status__Output>("google.rpc.Status", packed).details.find((d) => d.type_url?.endsWith(`/${type}`));
  return found && decode<T>(type, found.value as Buffer);
}

function decode<T>(type: string, bytes: Buffer): T {
  return (definition[type] as MessageTypeDefinition<object, object>).deserialize(bytes) as T;
}
