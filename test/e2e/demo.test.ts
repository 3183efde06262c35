import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { after, test } from 'node:test'
import { Lab } from '../../lab/lab.ts'
import { labDir, LABS_DIR } from '../../lab/record.ts'
import { removeLab } from '../../lab/remove.ts'
import { ROOT } from '../support/source-file.ts'
import { eventually, waitFor } from '../support/wait.ts'

/** A standing lab of this test alone: the usual one may stand for somebody's use. */
const STANDING = `ovt-${process.pid}-stands`

after(() => removeLab(STANDING))

test('the demo shows what it promises, exits 0 and leaves nothing behind', async () => {
  const demo = run()
  assert.equal(await demo.ended, 0, demo.text())
  for (const shown of [
    /^ {4}96, 98, 99# docker network create -d overlay-ts --ipam-driver overlay-ts --ipam-opt overlay=web web$/m,
    /^ {4}96, 98, 99# docker network create -d overlay-ts app$/m,
    /^ {4}98# docker run -d --name web-98 --network web \S+$/m,
    /^ {4}web-96 +10\.32\.\d+\.2 +web-98 +10\.32\.\d+\.2 +[\d.]+ ms +10\.32\.\d+\.2$/m,
    /^ {4}web-96 +app-96 +172\.\d+\.0\.2 +no answer$/m,
    /^ {4}[\d.]+ Gbit\/s over one TCP connection/m,
    /^ {4}\/overlay-ts\/subnets\/10\.32\.\d+\.0-24$/m,
    /^ {4}10\.32\.0\.0\/17 dev ov-tun /m,
    /^done in [\d.]+ s/m,
  ]) {
    assert.match(demo.text(), shown)
  }
  for (const mark of ['✗', '\r', '\x1b']) assert.ok(!demo.text().includes(mark))
  await leavesNothing(demo.lab)
})

test('a demo whose plugin dies names the step, shows the logs, exits 1 and leaves nothing behind', async () => {
  const demo = run()
  await waitFor(() => demo.text().includes('✓ overlay-ts runs on each host'), {
    what: 'overlay-ts to run',
    timeout: 60_000,
  })
  await Lab.open(demo.lab).host('98').killPlugin()
  assert.equal(await demo.ended, 1, demo.text())
  const step = /^✗ (.+?) +[\d.]+ s$/m.exec(demo.text())?.[1]
  assert.ok(step, demo.text())
  assert.ok(demo.text().includes(`\ndemo: failed at: ${step}\n`), demo.text())
  assert.match(demo.text(), /^--- plugin on 98 \(not running\)$/m)
  assert.match(demo.text(), /"msg":"overlay-ts serves"/)
  await leavesNothing(demo.lab)
})

test('an interrupted demo leaves nothing behind', async () => {
  const demo = run()
  await waitFor(() => existsSync(labDir(demo.lab)), { what: 'the lab to be under way' })
  demo.interrupt()
  assert.equal(await demo.ended, 130, demo.text())
  assert.match(demo.text(), /^interrupted at: data centre/m)
  await leavesNothing(demo.lab)
})

test('a kept demo stands until it is taken down, and a second one does not touch it', async () => {
  const kept = run('--keep')
  assert.equal(await kept.ended, 0, kept.text())
  assert.match(kept.text(), /^ {2}npm run lab -- docker 96 ps$/m)

  const second = run('--keep')
  assert.equal(await second.ended, 1, second.text())
  assert.match(second.text(), /stands already; remove it first: npm run demo -- down/)
  const lab = Lab.open(STANDING)
  const web = lab.host('98').container('web-98')
  await lab
    .host('96')
    .container('web-96')
    .ping(await web.ip('web'))

  const down = run('down')
  assert.equal(await down.ended, 0, down.text())
  assert.match(down.text(), new RegExp(`removed .*${STANDING}`))
  await leavesNothing(STANDING)
})

test('words that the demo does not know are refused', async () => {
  const demo = run('up')
  assert.equal(await demo.ended, 2)
  assert.match(demo.text(), /^usage: npm run demo/)
})

interface Run {
  /** Of the lab that a demo makes when it is not told to keep it. */
  readonly lab: string
  readonly ended: Promise<number | null>
  text(): string
  interrupt(): void
}

function run(...words: string[]): Run {
  const demo = spawn(process.execPath, [resolve(ROOT, 'lab/demo.ts'), ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LAB_NAME: STANDING },
  })
  let text = ''
  for (const stream of [demo.stdout, demo.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part
    })
  }
  return {
    lab: `ovt-${demo.pid}-demo`,
    ended: new Promise((done) => {
      demo.on('close', (code) => done(code))
    }),
    text: () => text,
    interrupt: () => void demo.kill('SIGINT'),
  }
}

/** A program that was killed with its machine is gone some time after it, and its parent after that. */
const leavesNothing = (lab: string): Promise<void> =>
  eventually(() => assert.deepEqual(tracesOf(lab), []), { what: `nothing to be left of ${lab}` })

/** Namespaces, mounts, control groups, folders and processes that carry the lab's name. */
function tracesOf(lab: string): string[] {
  const named = (dir: string): string[] =>
    (existsSync(dir) ? readdirSync(dir) : [])
      .filter((name) => name === lab || name.startsWith(`${lab}-`))
      .map((name) => `${dir}/${name}`)
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  const cgroups = mounts.filter((line) => line.split(' ')[2] === 'cgroup2')
  const processes = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(commandLine)
  return [
    ...named('/run/netns'),
    ...named(LABS_DIR),
    ...cgroups.flatMap((line) => named(line.split(' ')[1]!)),
    ...[...mounts, ...processes].filter(
      (text) => text.includes(`${lab}-`) || text.includes(`/${lab}/`),
    ),
  ]
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
