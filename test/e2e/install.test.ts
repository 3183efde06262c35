/** The commands of docs/install.md, typed on two freshly installed machines with the real systemd. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import { IMAGE } from '../../lab/image.ts'
import { Lab } from '../../lab/lab.ts'
import { buildDeb } from '../../package/build-deb.ts'
import { buildTarball } from '../../package/build-tarball.ts'
import { BUILD_DIR } from '../../package/release-tree.ts'
import { messageOf } from '../../src/errors.ts'
import { explainFailure } from '../support/lab.ts'
import { fencesOf, readDocument } from '../support/markdown.ts'
import { ROOT } from '../support/source-file.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { createNetwork } from './support/network-forms.ts'
import { SystemRoot } from './support/system-root.ts'

const COMPOSE_DIR = join(ROOT, 'examples', 'two-hosts')
const ENV_FILE = '/etc/overlay-ts/overlay-ts.env'
const SOCKET = '/run/docker/plugins/overlay-ts.sock'

describe('installed on two machines', { concurrency: false }, () => {
  let lab: Lab
  let folder: string
  let tarball: string
  let again: string
  /** Each machine is installed the other way. */
  let fromTarball: SystemRoot
  let fromDeb: SystemRoot
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () =>
      explainFailure(lab, body).catch((error: unknown) => {
        for (const root of [fromTarball, fromDeb]) console.error(root.log().slice(-4000))
        throw error
      }),
    )
  }

  before(async () => {
    process.env['SOURCE_DATE_EPOCH'] = '1767225600'
    mkdirSync(BUILD_DIR, { recursive: true })
    folder = mkdtempSync(join(BUILD_DIR, 'install-test-'))
    const options = { dir: folder, level: 1 }
    const built = Promise.all([
      buildTarball(options),
      buildTarball({ ...options, dir: join(folder, 'again') }),
      buildDeb(options),
    ])
    lab = await Lab.create({ hosts: ['96', '98'] })
    ;[tarball, again] = await built
    fromTarball = new SystemRoot(lab.host('96'))
    fromDeb = new SystemRoot(lab.host('98'))
    await Promise.all([fromTarball, fromDeb].map((root) => root.start(lab.name)))
  })
  after(async () => {
    await lab?.remove()
    rmSync(folder, { recursive: true })
  })

  inLab(
    'the tarball is the same bytes for the same sources, and holds only what runs',
    async () => {
      assert.equal(digestOf(again), digestOf(tarball))
      const files = (await fromTarball.exec('tar', '-tzf', tarball)).split('\n')
      assert.deepEqual(
        files.filter((file) => !file.startsWith('overlay-ts/')),
        [],
      )
      for (const name of ['LICENSE', 'README.md', 'bin/overlay-ts', 'node_modules/.bin/node']) {
        assert.ok(files.includes(`overlay-ts/${name}`), name)
      }
      const unwanted =
        /\/node_modules\/(typescript|prettier|fast-check|@types|nan)\/|win32|darwin|musl/
      assert.deepEqual(
        files.filter((file) => unwanted.test(file)),
        [],
      )
    },
  )

  inLab('the tarball becomes a service', async () => {
    const said = await fromTarball.sh(commandsUnder('### From the tarball'), folder)
    assert.match(said, /^ETCD_ENDPOINTS +http:\/\/172\.18\.10\.95:2379$/m)
    assert.match(await fromTarball.sh(commandsUnder('## 4. Checks')), /active \(running\)[^]*^ok/m)
  })

  inLab("Debian's package becomes a service", async () => {
    const said = await fromDeb.sh(commandsUnder("### From Debian's package"), folder)
    assert.match(said, /^ETCD_ENDPOINTS +http:\/\/172\.18\.10\.95:2379$/m)
    assert.match(await fromDeb.sh(commandsUnder('## 4. Checks')), /active \(running\)[^]*^ok/m)
    assert.match(await fromDeb.exec('systemctl', 'is-enabled', 'overlay-ts'), /^enabled$/)
    // Whoever may read the settings knows the passwords in them.
    assert.equal(await fromDeb.exec('stat', '-c', '%a', ENV_FILE), '600')
  })

  inLab('the unit is one that systemd understands, and leaves little open', async () => {
    const said = await fromDeb.exec('systemd-analyze', 'verify', 'overlay-ts.service')
    assert.equal(said, '')
    // Of 10; a service without any restriction has 9.6.
    await fromDeb.exec(...argv`systemd-analyze security --threshold=40 overlay-ts.service`)
  })

  inLab('containers reach each other on the network that is made first', async () => {
    await reachEachOther()
  })

  inLab('and with the Compose file', async () => {
    const compose = (root: SystemRoot, words: string): Promise<string> =>
      root.sh(`IMAGE=${IMAGE} docker-compose ${words}`, COMPOSE_DIR)
    const roots = [fromTarball, fromDeb]
    await compose(fromTarball, 'config --quiet')
    await Promise.all(roots.map((root) => compose(root, 'up -d')))
    const [ip, otherIp] = await Promise.all(
      roots.map(async (root) => (await compose(root, 'exec -T here hostname -i')).trim()),
    )
    assert.notEqual(ip, otherIp)
    // Either host hears of the other's subnet some time after that has it.
    const pings = (): Promise<string[]> =>
      Promise.all([
        compose(fromTarball, `exec -T here ping -c 1 -W 5 ${otherIp}`),
        compose(fromDeb, `exec -T here ping -c 1 -W 5 ${ip}`),
      ])
    for (const said of await waitFor(pings, { what: 'both pings to be answered' })) {
      assert.match(said, /1 packets received/)
    }
    await Promise.all(roots.map((root) => compose(root, 'down')))
    await eventually(
      async () =>
        assert.doesNotMatch(await lab.etcdText('/overlay-ts/subnets/'), /"Overlay":"try"/),
      { what: 'its subnets to be given back' },
    )
  })

  inLab('its few privileges are enough for routes inside of containers that run', async () => {
    const [a, b] = lab.hosts
    await createNetwork(a!, 'app')
    const early = await a!.run('early', { network: 'app' })
    await createNetwork(b!, 'app')
    const late = await b!.run('late', { network: 'app' })
    await assertReaches(early, [await late.ip()], await early.ip())
    for (const container of [early, late]) await container.remove()
    for (const host of lab.hosts) await host.docker('network', 'rm', 'app')
  })

  inLab('Docker begins when the socket answers, and not before', async () => {
    const ask = `curl -fsS -o /run/docker-saw -X POST --unix-socket ${SOCKET} http://plugin/Plugin.Activate`
    await fromDeb.sh(`
      printf '[Service]\\nType=oneshot\\nExecStart=/usr/bin/${ask}\\n' \\
        >/lib/systemd/system/docker.service
      printf '[Unit]\\nWants=docker.service overlay-ts.service\\n' >/lib/systemd/system/boot.target
      systemctl daemon-reload
      systemctl stop overlay-ts
      systemctl start boot.target
    `)
    assert.match(await fromDeb.exec('cat', '/run/docker-saw'), /"NetworkDriver"/)
  })

  inLab('a service that is killed comes back, and containers with it', async () => {
    await fromTarball.exec(...argv`systemctl kill --signal KILL overlay-ts`)
    const target = await lab.host('98').container('on-98').ip()
    await eventually(
      async () => {
        assert.match(await restartsOf(fromTarball), /^NRestarts=1\nActiveState=active$/m)
        await lab.host('96').container('on-96').ping(target)
      },
      { what: 'the service to run again', timeout: 60_000 },
    )
  })

  inLab('an upgrade restarts the service, and keeps settings and containers', async () => {
    const process = (): Promise<string> => fromDeb.sh('systemctl show -p MainPID overlay-ts')
    const old = await process()
    await fromDeb.sh(commandsUnder("### From Debian's package").split('\n')[0]!, folder)
    assert.notEqual(await process(), old)
    assert.match(await fromDeb.exec('cat', ENV_FILE), /^ETCD_ENDPOINTS=http:/m)
    const target = await lab.host('96').container('on-96').ip()
    await eventually(() => lab.host('98').container('on-98').ping(target), {
      what: 'containers to reach each other',
      timeout: 60_000,
    })
  })

  inLab('two machines need no third: one lends the other its own etcd', async () => {
    await Promise.all(lab.hosts.map(({ name }) => leaveNetwork(name)))
    for (const root of [fromTarball, fromDeb]) await root.sh(`sed -i '/^ETCD_/d' ${ENV_FILE}`)
    await fromTarball.sh(commandsUnder('### Without a third machine'))
    await fromDeb.sh(
      `echo ETCD_ENDPOINTS=http://172.18.10.96:2379 >>${ENV_FILE} && systemctl restart overlay-ts`,
    )
    for (const root of [fromTarball, fromDeb]) await root.sh(commandsUnder('## 4. Checks'))
    await reachEachOther()
  })

  inLab('an etcd of its own stops and dies with the service', async () => {
    const [first, ...more] = await etcdsOf(fromTarball)
    assert.deepEqual(more, [])
    await fromTarball.exec(...argv`systemctl kill --signal KILL --kill-who main overlay-ts`)
    await eventually(
      async () => {
        const now = await etcdsOf(fromTarball)
        assert.equal(now.length, 1)
        assert.notEqual(now[0], first)
        assert.match(await restartsOf(fromTarball), /^ActiveState=active$/m)
      },
      { what: 'another etcd to run', timeout: 60_000 },
    )
    await fromTarball.sh(commandsUnder('## 4. Checks'))
    await Promise.all(lab.hosts.map(({ name }) => leaveNetwork(name)))
    await fromTarball.exec('systemctl', 'stop', 'overlay-ts')
    assert.deepEqual(await etcdsOf(fromTarball), [])
  })

  inLab('a wrong setting is named, and the service tries again', async () => {
    await fromDeb.sh(`echo VXLAN_PORT=none >>${ENV_FILE}`)
    const said = await fromDeb
      .exec('systemctl', 'restart', 'overlay-ts')
      .then(() => 'ok', messageOf)
    assert.match(said, /Job for overlay-ts\.service failed/)
    assert.match(fromDeb.log(), /the configuration is wrong:\n +VXLAN_PORT: found "none", wanted/)
    await fromDeb.sh(`sed -i '/^VXLAN_PORT/d' ${ENV_FILE}`)
    await eventually(async () => assert.match(await restartsOf(fromDeb), /^ActiveState=active$/m), {
      what: 'the service to run',
      timeout: 60_000,
    })
  })

  inLab(
    'the package leaves settings and state when it is removed, and nothing when purged',
    async () => {
      await fromDeb.exec('dpkg', '--remove', 'overlay-ts')
      assert.equal(
        await fromDeb.sh('ls /var/lib/overlay-ts/host-id'),
        '/var/lib/overlay-ts/host-id',
      )
      assert.equal(await fromDeb.sh(`ls ${ENV_FILE}`), ENV_FILE)
      assert.equal(await fromDeb.sh('pgrep -f overlay-ts/plugin/mai[n] || true'), '')
      await fromDeb.sh(commandsUnder('## Uninstalling'))
      assert.deepEqual(await leftBy(fromDeb), [])
    },
  )

  inLab('the tarball is uninstalled with three commands', async () => {
    await fromTarball.sh(commandsUnder('## Uninstalling', 1))
    assert.deepEqual(await leftBy(fromTarball), [])
    await eventually(async () => assert.equal(await lab.etcdText('/overlay-ts/subnets/'), ''), {
      what: 'no subnet to be left in etcd',
    })
  })

  /** As the third step has it. */
  async function reachEachOther(): Promise<void> {
    const create = commandsUnder('## 3. Two containers')
    for (const root of [fromTarball, fromDeb]) await root.sh(create)
    const [a, b] = await Promise.all(
      lab.hosts.map((host) => host.run(`on-${host.name}`, { network: 'web' })),
    )
    const [ipA, ipB] = [await a!.ip(), await b!.ip()]
    await assertReaches(a!, [ipB], ipA)
    await assertReaches(b!, [ipA], ipB)
  }

  async function leaveNetwork(name: string): Promise<void> {
    await lab.host(name).container(`on-${name}`).remove()
    await lab.host(name).docker('network', 'rm', 'web')
  }
})

/** The commands of docs/install.md under a heading: its fence of that number, as they stand there. */
function commandsUnder(heading: string, index = 0): string {
  const { path, text } = readDocument('docs/install.md')
  const start = text.indexOf(`\n${heading}\n`)
  assert.ok(start >= 0, `${path} has no heading "${heading}"`)
  const fence = fencesOf({ path, text: text.slice(start) }).filter((it) => it.language === 'sh')[
    index
  ]
  return fence!.lines.join('\n')
}

function digestOf(path: string): string {
  return `${basename(path)} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`
}

function restartsOf(root: SystemRoot): Promise<string> {
  return root.exec(...argv`systemctl show -p NRestarts -p ActiveState overlay-ts`)
}

/** The numbers of the etcd processes in a root; without one pgrep exits 1. */
async function etcdsOf(root: SystemRoot): Promise<string[]> {
  return (await root.sh('pgrep -x etcd || true')).split('\n').filter(Boolean)
}

/** Files and processes of ours. */
async function leftBy(root: SystemRoot): Promise<string[]> {
  const places =
    '/opt/overlay-ts /etc/overlay-ts /var/lib/overlay-ts /var/cache/overlay-ts /usr/bin/overlay-ts'
  const units = '/lib/systemd/system/overlay-ts* /etc/systemd/system/*/overlay-ts*'
  const found = await root.sh(
    `ls -d ${places} ${units} 2>/dev/null || true; pgrep -f overlay-ts/plugin/mai[n] || true`,
  )
  return found.split('\n').filter(Boolean)
}
