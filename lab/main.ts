import { spawnSync } from 'node:child_process'
import { messageOf, OverlayError } from '../src/errors.ts'
import { IMAGE } from './image.ts'
import { Lab } from './lab.ts'
import { raiseNeighbourLimits } from './neighbour-limits.ts'
import { allRecords, isAbandoned, type LabRecord } from './record.ts'
import { STANDING_LAB as NAME, takeDown } from './standing-lab.ts'

const USAGE = `usage: npm run lab -- COMMAND

  up [--bare] [HOST…]   build the lab: etcd at 172.18.10.95 and Docker hosts (96 98 99 unless told),
                        with overlay-ts on each, or --bare without it
  docker HOST ARGS…     the docker command on a host:  npm run lab -- docker 96 network ls
  exec HOST COMMAND…    a command on a host itself:    npm run lab -- exec 96 ip route
                        (HOST may be etcd or switch)
  plugin HOST VERB      start, stop (SIGTERM) or kill (SIGKILL) overlay-ts on a host
  logs HOST             what overlay-ts wrote on a host
  status                what stands and what runs
  down                  remove the lab and whatever an interrupted one left

LAB_NAME in the environment names another lab than the usual one (overlay-lab), to stand beside it.
`

const HOW_TO_PLAY = `
try:
  npm run lab -- docker 96 network create -d overlay-ts --ipam-driver overlay-ts --ipam-opt overlay=web web
  npm run lab -- docker 98 network create -d overlay-ts --ipam-driver overlay-ts --ipam-opt overlay=web web
  npm run lab -- docker 96 run -d --name first --network web ${IMAGE}
  npm run lab -- docker 98 run --rm --network web ${IMAGE} ping -c 3 ADDRESS_OF_FIRST
  npm run lab -- exec etcd env ETCDCTL_API=3 etcdctl get --prefix /overlay-ts
  npm run lab -- down
`

type Command = (args: readonly string[]) => Promise<void> | void

const COMMANDS: Readonly<Record<string, Command>> = {
  up: async (args) => {
    const started = Date.now()
    const hosts = args.filter((word) => word !== '--bare')
    const raised = raiseNeighbourLimits()
    if (raised.length > 0) say(`raised ${raised.length} neighbour table limits of this machine`)
    await Lab.create({
      name: NAME,
      hosts: hosts.length > 0 ? hosts : ['96', '98', '99'],
      standing: true,
      plugin: args.includes('--bare') ? 'none' : 'before docker',
      onStep: say,
    })
    say(`up in ${((Date.now() - started) / 1000).toFixed(1)} s`)
    process.stdout.write(HOW_TO_PLAY)
  },

  down: async () => {
    const removed = await takeDown()
    say(removed.length === 0 ? 'there is no lab' : `removed ${removed.join(', ')}`)
  },

  docker: ([name = '', ...args]) => {
    const host = Lab.open(NAME).host(name)
    hand(host.dockerCommand(args), host.dockerEnv())
  },

  exec: ([name = '', ...words]) => {
    const lab = Lab.open(NAME)
    const enter =
      name === 'switch'
        ? ['ip', 'netns', 'exec', lab.switch.netns]
        : (name === 'etcd' ? lab.etcd : lab.host(name)).machine.enter()
    hand([...enter, ...(words.length > 0 ? words : ['sh'])])
  },

  plugin: async ([name = '', verb = '']) => {
    const host = Lab.open(NAME).host(name)
    if (verb === 'start') await host.startPlugin()
    else if (verb === 'stop') await host.stopPlugin()
    else if (verb === 'kill') await host.killPlugin()
    else throw new OverlayError('bad_input', `"${verb}" is none of start, stop, kill`)
    say(`overlay-ts on ${name}: ${host.plugin.running ? 'runs' : 'is down'}`)
  },

  logs: ([name = '']) => {
    process.stdout.write(Lab.open(NAME).host(name).pluginLog())
  },

  status: () => {
    const records = allRecords()
    if (records.length === 0) say('there is no lab')
    for (const record of records) process.stdout.write(`${statusOf(record)}\n`)
  },
}

function statusOf(record: LabRecord): string {
  const lab = Lab.open(record.name)
  const owner = record.owner === null ? 'standing' : `of process ${record.owner.pid}`
  const mark = (running: boolean): string => (running ? 'runs' : 'is down')
  const etcd = record.machines.some(({ kind }) => kind === 'etcd')
  return [
    `${record.name} (${isAbandoned(record) ? 'abandoned' : owner})`,
    ...(etcd ? [`  etcd  etcd ${mark(lab.etcd.daemon.running)}`] : []),
    ...lab.hosts.map(
      ({ name, ip, dockerd, plugin }) =>
        `  ${name}  ${ip}  dockerd ${mark(dockerd.running)}, overlay-ts ${mark(plugin.running)}`,
    ),
  ].join('\n')
}

/** Gives this terminal to a program, and its exit code to the caller. */
function hand([program = '', ...args]: readonly string[], env: NodeJS.ProcessEnv = {}): void {
  const { status, error } = spawnSync(program, args, {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  if (error !== undefined) throw error
  process.exitCode = status ?? 1
}

function say(line: string): void {
  process.stdout.write(`lab: ${line}\n`)
}

const [verb = '', ...args] = process.argv.slice(2)
const command = COMMANDS[verb]
if (command === undefined) {
  process.stderr.write(USAGE)
  process.exitCode = 2
} else {
  try {
    await command(args)
  } catch (error) {
    if (!(error instanceof OverlayError)) throw error
    process.stderr.write(`lab: ${messageOf(error)}\n`)
    process.exitCode = 1
  }
}
