import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { agreedEndpoints } from './support/endpoint-records.ts'
import { createForm } from './support/network-forms.ts'
import { untilCables } from './support/until-cables.ts'

const NETWORKS = ['web', 'app'] as const

describe('dockerd starts again', { concurrency: false }, () => {
  let lab: Lab
  let near: DockerHost
  let far: DockerHost
  let b: Container
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    ;[near, far] = [lab.host('96'), lab.host('98')]
    for (const host of [near, far]) for (const form of NETWORKS) await createForm(host, form)
    b = await far.run('far', { network: NETWORKS })
    await near.run('always', { network: NETWORKS, options: ['--restart', 'always'] })
    await near.run('once', { network: NETWORKS })
  })
  after(async () => {
    await lab.remove()
  })

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    inLab(`after ${signal}, and all is as before`, async () => {
      const rules = await dockerUser()
      assert.match(rules, /ov-/)
      const creations = near.pluginLog().split('network created').length
      await near.stopDocker(signal)
      // A reboot of the firewall with it: dockerd makes the chain anew, with its own rule alone.
      await near.exec('iptables', '-F', 'DOCKER-USER')
      await near.startDocker()
      await isBack(rules)
      assert.equal(near.pluginLog().split('network created').length, creations)
      await near.docker('start', 'once')
      await reaches('once')
      const fresh = await near.run('fresh', { network: NETWORKS })
      await reaches('fresh')
      await fresh.remove()
      await agreedEndpoints(lab, near)
    })
  }

  inLab('while the plugin is away, which then comes', async () => {
    const rules = await dockerUser()
    await near.stopDocker('SIGKILL')
    await near.killPlugin()
    // It answers only once it has tried each network's plugin.
    const started = near.startDocker()
    await near.startPlugin()
    await started
    await isBack(rules)
    await near.docker('start', 'once')
    await reaches('once')
    await agreedEndpoints(lab, near)
  })

  /** The container with a restart policy runs and is reached; nothing of the other is left. */
  async function isBack(rules: string): Promise<void> {
    await waitFor(
      async () => (await near.docker('inspect', '-f', '{{.State.Running}}', 'always')) === 'true',
      { what: 'the container with a restart policy to run', timeout: 60_000, every: 250 },
    )
    await reaches('always')
    const left = await agreedEndpoints(lab, near)
    assert.equal(left.length, NETWORKS.length, left.join('\n'))
    await untilCables(near, left.length)
    await eventually(async () => assert.equal(await dockerUser(), rules), {
      what: 'the rules in DOCKER-USER to be there again',
      timeout: 30_000,
      every: 250,
    })
  }

  async function reaches(name: string): Promise<void> {
    const container = near.container(name)
    for (const network of NETWORKS) {
      await assertReaches(container, [await b.ip(network)], await container.ip(network))
      await assertReaches(b, [await container.ip(network)], await b.ip(network))
    }
  }

  /** The chain, its accepting rules sorted: their order says nothing. Docker's own RETURN must be the last. */
  async function dockerUser(): Promise<string> {
    const rules = (await near.exec('iptables', '-S', 'DOCKER-USER')).split('\n')
    const last = rules.findLastIndex((rule) => rule.endsWith('-j ACCEPT')) + 1
    return [...rules.slice(0, last).sort(), ...rules.slice(last)].join('\n')
  }
})
