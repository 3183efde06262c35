import {
  EtcdAuthenticationFailedError,
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
  GRPCCancelledError,
  GRPCDeadlineExceededError,
  GRPCInternalError,
  GRPCUnavailableError,
  GRPCUnknownError,
} from 'etcd3'
import { messageOf, OverlayError } from '../errors.ts'

/** What etcd says of a transaction that can never succeed. */
const IMPOSSIBLE = /duplicate key given|too many operations|request is too large/

/** gRPC's words for a connection that was never made, so the request cannot have arrived. */
const NEVER_SENT =
  /No connection established|Name resolution failed|ECONNREFUSED|EHOSTUNREACH|ENETUNREACH/

const SILENCE = [
  GRPCCancelledError,
  GRPCDeadlineExceededError,
  GRPCInternalError,
  GRPCUnavailableError,
  GRPCUnknownError,
]

/** Whether the error means that no answer came, rather than an answer that we do not like. */
export function isSilence(error: unknown): boolean {
  return error instanceof CallTimeout || SILENCE.some((type) => error instanceof type)
}

/** Whether the request certainly did not reach etcd. */
export function wasNeverSent(error: unknown): boolean {
  return error instanceof GRPCUnavailableError && NEVER_SENT.test(error.message)
}

/** Our own clock ran out before gRPC's did. */
export class CallTimeout extends Error {}

/** gRPC's text without its number in front and its empty note behind. */
export function reasonOf(error: unknown): string {
  return messageOf(error)
    .replace(/^\d+ [A-Z_]+: /, '')
    .replace(/\.? Resolution note: $/, '')
}

/** etcd's refusal in our words. */
export function refusal(error: unknown, endpoint: string): OverlayError {
  const text = reasonOf(error)
  const cause = { cause: error }
  if (error instanceof EtcdLeaseInvalidError) {
    return new OverlayError('not_found', `the etcd lease has run out or never was: ${text}`, cause)
  }
  if (IMPOSSIBLE.test(text)) {
    return new OverlayError('bad_input', `etcd refused the transaction: ${text}`, cause)
  }
  if (/database space exceeded/.test(text)) {
    return new OverlayError(
      'store_unavailable',
      `etcd at ${endpoint} is full and takes no writes (${text}): compact and defragment it, then take its alarm back (docs/etcd.md)`,
      cause,
    )
  }
  const hint =
    error instanceof EtcdAuthenticationFailedError || error instanceof EtcdPermissionDeniedError
      ? '; check ETCD_USER and ETCD_PASSWORD, and the role of that user'
      : ''
  return new OverlayError('store_unavailable', `etcd at ${endpoint} refused: ${text}${hint}`, cause)
}
