import type { Container } from '../../../lab/container.ts'
import { assertReaches } from './answers.ts'

/** Two containers reach each other in each of the networks, and are seen by their own addresses. */
export async function assertBothWays(
  one: Container,
  other: Container,
  networks: readonly string[],
): Promise<void> {
  for (const name of networks) {
    await assertReaches(one, [await other.ip(name)], await one.ip(name))
    await assertReaches(other, [await one.ip(name)], await other.ip(name))
  }
}
