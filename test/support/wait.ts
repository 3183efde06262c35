import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, OverlayError } from '../../src/errors.ts'

export interface WaitOptions {
  /** Milliseconds before giving up; 30,000 unless told, which a busy machine may take for what is else done at once. */
  readonly timeout?: number
  /** Milliseconds between two tries; 50 unless told. */
  readonly every?: number
  /** What is waited for, as it stands after "waited 10 s for …". */
  readonly what: string
}

/**
 * Polls until `condition` gives a truthy value, which is returned. A throw counts as "not yet".
 * @throws OverlayError host_state with the last failure when the time is over
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { timeout = 30_000, every = 50, what }: WaitOptions,
): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeout
  for (;;) {
    let last: string
    let cause: unknown
    try {
      const value = await condition()
      if (value) return value
      last = `the condition gave ${String(value)}`
    } catch (error) {
      last = messageOf(error)
      cause = error
    }
    if (Date.now() >= deadline) {
      throw new OverlayError('host_state', `waited ${timeout / 1000} s for ${what}: ${last}`, {
        cause,
      })
    }
    await sleep(every)
  }
}

/** Polls until the assertions inside no longer throw. */
export async function eventually(
  assertions: () => void | Promise<void>,
  options: WaitOptions,
): Promise<void> {
  await waitFor(async () => {
    await assertions()
    return true
  }, options)
}
