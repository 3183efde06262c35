import assert from 'node:assert/strict'
import { existsSync, readdirSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import {
  addressesInUse,
  agreedEndpoints,
  cables,
  journalFiles,
} from './support/endpoint-records.ts'
import { createForm } from './support/network-forms.ts'
import { untilBridgesPublished } from './support/until-bridges-published.ts'

const NETWORKS = ['web', 'app', 'shared', 'bare'] as const

interface Journaled {
  readonly id: string
  readonly name: string
  readonly subnet: string
  readonly networkId: string
}

describe('a state directory that is lost', { concurrency: false }, () => {
  let lab: Lab
  let near: DockerHost
  let far: DockerHost
  /** Runs from the beginning to the end, and nobody touches it. */
  let a: Container
  let b: Container
  /** How the host was before anything was lost. */
  let whole: string
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    const dockerd = ['--live-restore']
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker', dockerd })
    ;[near, far] = [lab.host('96'), lab.host('98')]
    await explainFailure(lab, async () => {
      for (const host of [near, far]) for (const form of NETWORKS) await createForm(host, form)
      ;[a, b] = await Promise.all([
        near.run('near', { network: NETWORKS }),
        far.run('far', { network: NETWORKS }),
      ])
      await bothReach()
      for (const host of [near, far]) await agreedEndpoints(lab, host)
      await untilBridgesPublished(lab)
      whole = await pictureOf()
    })
  })
  after(async () => {
    await lab.remove()
  })

  inLab('whole is made again from Docker and etcd; containers go on as they were', async () => {
    await near.stopPlugin()
    loseEverything()
    await near.startPlugin()
    await isBack()
    const fresh = await near.run('fresh', { network: NETWORKS })
    await Promise.all(
      NETWORKS.map(async (name) => {
        await assertReaches(fresh, [await b.ip(name)], await fresh.ip(name))
      }),
    )
    await fresh.remove()
    await isBack()
  })

  inLab('in parts is mended, as soon as etcd is there to be asked', async () => {
    await near.stopPlugin()
    await lab.etcd.kill()
    const identity = join(near.stateDir, 'host-id')
    rmSync(fileOf('networks', ({ name }) => name === 'app'))
    const web = journalFiles<Journaled>(near, 'networks').find(({ name }) => name === 'web')!
    const broken = fileOf('subnets', ({ subnet }) => subnet === web.subnet)
    truncateSync(broken, 40)
    rmSync(fileOf('endpoints', ({ networkId }) => networkId !== web.id))
    truncateSync(identity, 10)
    await near.startPlugin()
    await assert.rejects(
      near.run('early', { network: 'app' }),
      /the network app is looked for .* etcd is not reached, since [^]*try again in half a minute/,
    )
    await near.docker('rm', '-f', 'early')
    assert.equal(await cables(near), NETWORKS.length)
    await lab.etcd.start()
    await eventually(() => assert.ok(existsSync(broken)), {
      what: 'the broken file to be replaced',
      timeout: 60_000,
    })
    for (const file of [broken, identity]) rmSync(`${file}.broken`)
    await isBack()
  })

  inLab(
    'together with the process is made again once Docker and etcd tell; until then nothing goes',
    async () => {
      await near.killPlugin()
      loseEverything()
      await near.startPlugin({ env: { DOCKER_HOST: 'unix:///run/nobody.sock' } })
      for (const [name, unknown] of [
        ['app', 'has no record of the network [0-9a-f]{12}, perhaps .* Docker could not be asked'],
        ['web', 'does not hold the subnet 10[.]'],
      ] as const) {
        await assert.rejects(
          near.run(`on-${name}`, { network: name }),
          new RegExp(`this host ${unknown}[^]*docker network rm`),
        )
        await near.docker('rm', '-f', `on-${name}`)
      }
      assert.equal(await cables(near), NETWORKS.length)
      await near.stopPlugin()
      await near.stopDocker('SIGKILL')
      await near.startPlugin()
      await near.startDocker(['--live-restore'])
      // Its predecessor was killed, so etcd lists that for up to half a minute.
      await isBack()
    },
  )

  async function bothReach(): Promise<void> {
    await Promise.all(
      NETWORKS.map(async (name) => {
        await assertReaches(a, [await b.ip(name)], await a.ip(name))
        await assertReaches(b, [await a.ip(name)], await b.ip(name))
      }),
    )
  }

  /** Everything is as it was, but for the host's identity. */
  async function isBack(): Promise<void> {
    await eventually(async () => assert.equal(await pictureOf(), whole), {
      what: 'host 96 to be as it was',
      timeout: 90_000,
      every: 250,
    })
    await bothReach()
    await agreedEndpoints(lab, near)
  }

  /** The host's network state, its journal and all of etcd, less identities, revisions and times. */
  async function pictureOf(): Promise<string> {
    const etcd = (await lab.etcdText('/overlay-ts/'))
      .split('\n')
      .filter((line) => !line.startsWith('/overlay-ts/allocator'))
      .map((line) =>
        line
          .replace(/\b[0-9a-f]{32}\b/g, 'HOST')
          .replace(/"(VtepMAC|Instance)":"[^"]*"/g, '"$1":""'),
      )
    const state = await near.stateText()
    return [
      // dockerd writes its own rules in another order when it starts again.
      ...state
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '')
        .sort(),
      ...etcd.sort(),
      ...addressesInUse(near),
      `${await cables(near)} cables`,
      ...journalFiles<Journaled>(near, 'networks')
        .map(({ name }) => name)
        .sort(),
    ].join('\n')
  }

  function fileOf(folder: string, isWanted: (record: Journaled) => boolean): string {
    const record = journalFiles<Journaled>(near, folder).find(isWanted)!
    const name = folder === 'subnets' ? encodeURIComponent(record.subnet) : record.id
    return join(near.stateDir, folder, `${name}.json`)
  }

  function loseEverything(): void {
    for (const entry of readdirSync(near.stateDir)) {
      rmSync(join(near.stateDir, entry), { recursive: true })
    }
  }
})
