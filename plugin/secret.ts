import { inspect } from 'node:util'

const REDACTED = '[redacted]'

/** A value that shows itself only to who asks by `reveal`: never in JSON, a log line or a template. */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  reveal(): string {
    return this.#value
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}
