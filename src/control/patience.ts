import { OverlayError } from '../errors.ts'

/**
 * What a caller who waits for the store is made to wait, all calls together, so that a docker command
 * ends within five seconds. Each call of the store settles in four by itself and then says since when
 * the store is silent.
 */
export const STORE_PATIENCE_MS = 4500

/** Waits for work that never rejects, but no longer than told. @returns whether it settled in time */
export async function settlesWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, ms, false)
  })
  try {
    return await Promise.race([work.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * The outcome of work with the store. Work that takes longer goes on unheard.
 * @throws OverlayError store_unavailable after that time, and what the work throws before
 */
export async function withPatience<T>(work: Promise<T>, ms = STORE_PATIENCE_MS): Promise<T> {
  const outcome = work.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  if (!(await settlesWithin(outcome, ms))) {
    throw new OverlayError(
      'store_unavailable',
      `etcd did not do it within ${ms / 1000} s; try again when it answers faster`,
    )
  }
  const settled = await outcome
  if ('error' in settled) throw settled.error
  return settled.value
}
