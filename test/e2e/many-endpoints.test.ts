import assert from 'node:assert/strict'
import { after, before, describe, test, type TestContext } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { addressesInUse, agreedEndpoints } from './support/endpoint-records.ts'
import { createNetwork } from './support/network-forms.ts'
import { untilCables } from './support/until-cables.ts'

/** On each of three hosts: 8 containers in 8 overlays each, and 3 that are made meanwhile. */
const OVERLAYS = Array.from({ length: 8 }, (_, n) => `o${n}`)
const STANDING = Array.from({ length: 8 }, (_, n) => `standing${n}`)
const RUN = Array.from({ length: 3 }, (_, n) => `run${n}`)
const PER_HOST = OVERLAYS.length * STANDING.length + RUN.length

describe('two hundred endpoints at once', { concurrency: false }, () => {
  let lab: Lab
  const inLab = (sentence: string, body: (t: TestContext) => Promise<void>): void => {
    test(sentence, (t) => explainFailure(lab, () => body(t)))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98', '99'], plugin: 'before docker' })
    await everywhere(async (host) => {
      for (const name of OVERLAYS) {
        await createNetwork(
          host,
          name,
          argv`--ipam-driver overlay-ts --ipam-opt overlay=${name} --ipam-opt pool-len=20`,
        )
      }
      for (const name of STANDING) await host.run(name)
    })
  })
  after(async () => {
    await lab.remove()
  })

  inLab('have an address of their own each, and reach each other', async (t) => {
    const begun = performance.now()
    await everywhere(async (host) => {
      const connections = STANDING.flatMap((container, row) =>
        OVERLAYS.map(async (overlay, column) => {
          await plug(host, overlay, container)
          // A third comes, goes and comes again, while others come.
          if ((row + column) % 3 > 0) return
          await unplug(host, overlay, container)
          await plug(host, overlay, container)
        }),
      )
      const runs = RUN.map((name, n) => host.run(name, { network: OVERLAYS[n] ?? '' }))
      await Promise.all([...connections, ...runs])
    })
    t.diagnostic(`${3 * PER_HOST} endpoints after ${seconds(begun)} s`)

    const peak = (await Promise.all(lab.hosts.map((host) => agreedEndpoints(lab, host)))).flat()
    assert.equal(peak.length, 3 * PER_HOST)
    for (const [what, column] of [
      ['endpoint', 0],
      ['address', 1],
    ] as const) {
      const values = peak.map((line) => line.split(' ')[column])
      assert.equal(new Set(values).size, values.length, `an ${what} twice in\n${peak.join('\n')}`)
    }

    for (const [row, host] of lab.hosts.entries()) {
      const asker = host.container(STANDING[row] ?? '')
      const own = await asker.networks()
      for (const overlay of [OVERLAYS[row], OVERLAYS[row + 4]] as string[]) {
        const peers = lab.hosts.flatMap((other) => [
          other.container(STANDING[7] ?? '').ip(overlay),
          other.container(STANDING[6 - row] ?? '').ip(overlay),
        ])
        await assertReaches(asker, await Promise.all(peers), own[overlay] ?? '')
      }
    }
  })

  inLab('leave nothing when all go at once', async (t) => {
    const begun = performance.now()
    await everywhere(async (host) => {
      const disconnections = STANDING.flatMap((container) =>
        OVERLAYS.map((overlay) => unplug(host, overlay, container)),
      )
      await Promise.all([...disconnections, ...RUN.map((name) => host.container(name).remove())])
    })
    t.diagnostic(`gone after ${seconds(begun)} s`)
    for (const host of lab.hosts) {
      assert.deepEqual(await agreedEndpoints(lab, host), [])
      await untilCables(host, 0)
      await eventually(() => assert.deepEqual(addressesInUse(host), []), {
        what: `the addresses of host ${host.name} to be free`,
      })
    }
    await eventually(async () => assert.equal(await lab.etcdText('/overlay-ts/endpoints/'), ''), {
      what: 'etcd to hold no endpoint',
      timeout: 30_000,
    })
  })

  async function everywhere(body: (host: DockerHost) => Promise<void>): Promise<void> {
    await Promise.all(lab.hosts.map(body))
  }
})

async function plug(host: DockerHost, network: string, container: string): Promise<void> {
  await host.dockerode().getNetwork(network).connect({ Container: container })
}

async function unplug(host: DockerHost, network: string, container: string): Promise<void> {
  await host.dockerode().getNetwork(network).disconnect({ Container: container })
}

const seconds = (since: number): string => ((performance.now() - since) / 1000).toFixed(1)
