import assert from 'node:assert/strict'
import { argv } from '../../../lab/argv.ts'
import type { DockerHost } from '../../../lab/docker-host.ts'
import type { Lab } from '../../../lab/lab.ts'
import { eventually } from '../../support/wait.ts'
import { pluginState } from './plugin-state.ts'

/**
 * Waits until etcd has the prefixes of Docker's own bridges on each host. docker_gwbridge comes with the first container, and
 * is published some time after that is reached.
 */
export async function untilBridgesPublished(lab: Lab): Promise<void> {
  await eventually(
    async () => {
      const records = (await lab.etcdText('/overlay-ts/private/')).split('\n')
      for (const host of lab.hosts) {
        const { hostId } = (await pluginState(host)).host
        const [, value] = records.find((line) => line.includes(`/${hostId} `))?.split(/ (.*)/) ?? []
        const { Prefixes } = JSON.parse(value ?? '{}') as { Prefixes?: string[] }
        assert.deepEqual(Prefixes?.toSorted(), await bridgePrefixes(host), host.name)
      }
    },
    { what: "etcd to have Docker's own bridges", timeout: 60_000, every: 250 },
  )
}

async function bridgePrefixes(host: DockerHost): Promise<string[]> {
  const routes = await host.exec(...argv`ip -4 route show proto kernel scope link`)
  const ofBridges = /^(\S+) dev (?:docker0|docker_gwbridge|br-\S+) /gm
  return [...routes.matchAll(ofBridges)].map(([, prefix]) => prefix!).toSorted()
}
