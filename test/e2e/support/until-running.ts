import assert from 'node:assert/strict'
import type { Container } from '../../../lab/container.ts'
import { eventually } from '../../support/wait.ts'

/** Waits for a container that Docker starts by its restart policy. */
export function untilRunning({ host, name }: Container): Promise<void> {
  return eventually(
    async () => {
      const state = await host.docker('inspect', '-f', '{{.State.Running}}', name)
      assert.equal(state.trim(), 'true')
    },
    { what: `${name} to run`, timeout: 60_000, every: 250 },
  )
}
