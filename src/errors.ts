/**
 * Every failure that a caller may tell apart has a code; the message is a sentence for a human:
 * what was wanted, what was found, what to do. The code is the contract, the words are not.
 */
export const ERROR_CODES = [
  'bad_input', // a value does not parse or breaks a rule of its field
  'bad_request', // a protocol request is malformed or empty
  'unsupported', // understood, and refused on purpose
  'conflict', // somebody else holds it, or two settings contradict each other
  'exhausted', // nothing free is left
  'not_found', // the thing named is not known here
  'store_unavailable', // etcd does not answer
  'host_state', // the kernel or a host program refused
  'datapath', // the forwarder could not do it
  'cloned_host', // another machine runs with this machine's identity
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

/** The one error class of the project. */
export class OverlayError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'OverlayError'
    this.code = code
  }
}

/** The text of anything thrown, for a log line or an `Err` field. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
