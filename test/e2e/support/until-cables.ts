import assert from 'node:assert/strict'
import type { DockerHost } from '../../../lab/docker-host.ts'
import { eventually } from '../../support/wait.ts'
import { cables } from './endpoint-records.ts'

/** Waits until a host has so many of our cables; its records may be right before the links are. */
export function untilCables(host: DockerHost, count: number): Promise<void> {
  return eventually(async () => assert.equal(await cables(host), count), {
    what: `${count} cables on host ${host.name}`,
    timeout: 60_000,
    every: 250,
  })
}
