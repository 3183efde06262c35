import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { messageOf } from '../../src/errors.ts'
import { explainFailure } from '../support/lab.ts'
import { UnixClient } from '../support/unix-client.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { ETCD_SILENCE } from './support/etcd-silence.ts'
import { createForm } from './support/network-forms.ts'

const PROGRAM = join(import.meta.dirname, '..', '..', 'plugin', 'main.ts')
const SOCKET = '/run/docker/plugins/overlay-ts.sock'
/** From its first line to its first answer, whatever etcd does. dockerd's own patience is 9.5 s from exec on. */
const SERVES_WITHIN_MS = 2000
const RESIDENT_MB = 150

describe('overlay-ts starts', { concurrency: false }, () => {
  let lab: Lab
  let host: DockerHost
  const inLab = (sentence: string, body: (t: TestContext) => Promise<void>): void => {
    test(sentence, (t) => explainFailure(lab, () => body(t)))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96'] })
    host = lab.host('96')
  })
  after(async () => {
    await lab.remove()
  })

  inLab('not with a wrong configuration, and says everything that is wrong', async () => {
    const before = await host.stateText()
    const said = await runProgram(
      {
        NETWORK: '10.32.0.0/99',
        VXLAN_PORT: '70000',
        ETCD_ENDPOINTS: 'ftp://here',
        LOG_LEVEL: 'loud',
        VXLANPORT: '1',
      },
      [],
    ).then(() => 'nothing', messageOf)
    assert.match(said, /exit 2:/)
    for (const name of ['NETWORK', 'VXLAN_PORT', 'ETCD_ENDPOINTS', 'LOG_LEVEL']) {
      assert.match(said, new RegExp(`^ +${name}: found `, 'm'))
    }
    assert.match(said, /VXLANPORT: there is no such variable; did you mean VXLAN_PORT/)
    assert.equal(await host.stateText(), before)
  })

  inLab(
    'with --check only to say what is in force, without secrets and without a trace',
    async () => {
      const before = await host.stateText()
      const files = await host.exec('find', host.machine.dir, '-maxdepth', '1')
      const shown = await runProgram(
        {
          ETCD_ENDPOINTS: 'http://172.18.10.95:2379',
          ETCD_USER: 'root',
          ETCD_PASSWORD: 'geheim',
          NETWORK: '10.64.0.0/12',
        },
        ['--check'],
      )
      assert.match(shown, /^NETWORK +10\.64\.0\.0\/12$/m)
      assert.match(shown, /^VXLAN_PORT +8472 +\(default\)$/m)
      assert.match(shown, /^ETCD_PASSWORD +\[redacted\]$/m)
      assert.doesNotMatch(shown, /geheim/)
      assert.equal(await host.stateText(), before)
      assert.equal(await host.exec('find', host.machine.dir, '-maxdepth', '1'), files)
    },
  )

  inLab('within two seconds while etcd refuses, and while nothing answers at all', async (t) => {
    await lab.etcd.kill()
    const refused = await startTimed(host)
    t.diagnostic(`with etcd stopped it serves after ${refused} ms`)
    await host.stopPlugin()
    await lab.switch.unplug('etcd')
    const silent = await startTimed(host)
    t.diagnostic(`with etcd's cable pulled it serves after ${silent} ms`)
    await host.stopPlugin()
    await lab.switch.plug('etcd')
    await lab.etcd.start()
    assert.ok(refused < SERVES_WITHIN_MS, `${refused} ms`)
    assert.ok(silent < SERVES_WITHIN_MS, `${silent} ms`)
  })

  inLab('no forwarder on a port that another program has, and names both', async () => {
    await host.startPlugin()
    for (const { take, release, owner } of otherOwners) {
      await host.exec('sh', '-c', take)
      await assert.rejects(createForm(host, 'web'), (error) => {
        assert.match(
          messageOf(error),
          /UDP port 8472 of 172\.18\.10\.96 is in use by .*; stop it, or choose another port with VXLAN_PORT on every host/,
        )
        assert.match(messageOf(error), owner)
        return true
      })
      await host.exec('sh', '-c', release)
    }
    await eventually(
      async () =>
        assert.doesNotMatch(await lab.etcdText('/overlay-ts/'), /subnets|holders|overlays/),
      { what: 'what was leased for the refused networks to be given back' },
    )
    await createForm(host, 'web')
  })

  inLab('no second time on the same socket', async () => {
    const env = { SOCKET, STATE_DIR: host.stateDir, ETCD_ENDPOINTS: 'http://172.18.10.95:2379' }
    const identity = join(host.stateDir, 'host-id')
    const before = readFileSync(identity, 'utf8')
    await assert.rejects(
      runProgram(env, []),
      /exit 1:[^]*another process listens on \/run\/docker\/plugins\/overlay-ts\.sock; stop that plugin first, or set SOCKET/,
    )
    assert.equal(readFileSync(identity, 'utf8'), before)
    await host.run('still', { network: 'web' })
  })

  inLab('once, and stays within its memory', async (t) => {
    const resident = (): number => {
      const status = readFileSync(`/proc/${host.plugin.pid}/status`, 'utf8')
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
    }
    t.diagnostic(`${Math.round(resident())} MB resident with a network and a container`)
    assert.ok(resident() <= RESIDENT_MB, `${Math.round(resident())} MB are resident`)
  })

  inLab('and ends on SIGTERM only after it has answered', async () => {
    assert.match(await lab.etcdText('/overlay-ts/hosts/'), /host-96/)
    await lab.etcd.pause()
    using client = new UnixClient(host.pluginSocket)
    const slow = client.call('IpamDriver.RequestPool', {
      AddressSpace: 'overlay-ts',
      Options: { overlay: 'late' },
    })
    // Connections are served in the order in which they came.
    using other = new UnixClient(host.pluginSocket)
    assert.equal((await other.call('Plugin.Activate')).status, 200)
    const stopped = host.stopPlugin()
    const { status, body } = await slow
    assert.equal(status, 500)
    assert.match(body, ETCD_SILENCE)
    await lab.etcd.resume()
    await stopped
    assert.equal(existsSync(host.pluginSocket), false)
    assert.match(host.pluginLog(), /overlay-ts stops; containers stay connected/)
    await host.startPlugin()
    await waitFor(async () => (await lab.etcdText('/overlay-ts/hosts/')) !== '', {
      what: 'the host to be listed',
      timeout: 30_000,
    })
    await host.stopPlugin()
    assert.equal(await lab.etcdText('/overlay-ts/hosts/'), '')
  })

  /** Runs the program on the host to its end. */
  function runProgram(env: Record<string, string>, words: readonly string[]): Promise<string> {
    const settings = Object.entries({ STATE_DIR: host.machine.path('nowhere'), ...env })
    return host.exec(
      'env',
      ...settings.map(([name, value]) => `${name}=${value}`),
      process.execPath,
      PROGRAM,
      ...words,
    )
  }
})

const otherOwners = [
  {
    take: 'setsid socat -u UDP4-RECV:8472 /dev/null </dev/null >/dev/null 2>&1 & echo $! >/run/taker; while ! ss -Hlun sport = :8472 | grep -q .; do :; done',
    // A killed program's port is free some time after.
    release:
      'kill -9 $(ss -Hlunp sport = :8472 | sed "s/.*pid=\\([0-9]*\\).*/\\1/"); while ss -Hlun sport = :8472 | grep -q .; do :; done',
    owner: /"socat" \(process \d+\)/,
  },
  {
    take: 'ip link add vx0 type vxlan id 7 dstport 8472 dev eth0 && ip link set vx0 up',
    release: 'ip link del vx0',
    owner: /the kernel \(see "ip -d link show type vxlan"\)/,
  },
]

/** Starts the plugin. @returns milliseconds from its first line to its first answer */
async function startTimed(host: DockerHost): Promise<number> {
  await host.startPlugin()
  const answered = Date.now()
  const starts = (): { time: string }[] =>
    host
      .pluginLog()
      .split('\n')
      .filter((line) => line.includes('"overlay-ts starts"'))
      .map((line) => JSON.parse(line) as { time: string })
  return answered - Date.parse(starts().at(-1)?.time ?? '')
}
