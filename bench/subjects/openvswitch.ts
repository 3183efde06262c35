import { mkdirSync, rmSync } from 'node:fs'
import { argv } from '../../lab/argv.ts'
import { command, tryCommand } from '../../lab/command.ts'
import type { Daemon } from '../../lab/daemon.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { netnsName } from '../../lab/record.ts'
import { OverlayError } from '../../src/errors.ts'
import { Place } from '../place.ts'
import { script } from './bridged-namespaces.ts'
import { Debian, pidsOn, stop } from './debian.ts'
import type { Candidate, Site } from './subject.ts'

const VNI = 78
/** No one's on the kernel's side, which sees the packets of the cable, too. */
const PORT = 8474
const MTU = 1450
/** Of the namespaces, in one network of layer 2. */
const NET = '10.205.0'
/** Of the tunnel's ends: beside the lab's underlay on the same switch. */
const UNDERLAY = '172.18.11'
/** Not "ov-…": overlay-ts removes what bears its own names. */
const CABLE = 'vs-cable'
const AF_XDP = 'afxdp-nonpmd'
const PROGRAMS = {
  server: 'usr/sbin/ovsdb-server',
  switch: 'usr/lib/openvswitch-switch/ovs-vswitchd',
  tool: 'usr/bin/ovsdb-tool',
  control: 'usr/bin/ovs-vsctl',
  schema: 'usr/share/openvswitch/vswitch.ovsschema',
} as const

/**
 * Open vSwitch with its userspace datapath ("netdev"): on each host a database, a switch daemon and two
 * bridges. The tunnel's own address must be a port of such a bridge, so that each host gets a second cable
 * to the lab's switch, which its bridge owns; the hosts' eth0 stays as it is. That bridge has another MAC
 * than its cable, since the kernel would answer the tunnel's packets, too.
 *
 * Without TSO: version 3.1 cannot cut what goes into a tunnel and drops it (Documentation/topics/userspace-tso.rst).
 * So the namespaces complete their checksums and send packets of MTU size (ethtool tx off). The switch takes
 * and gives them by AF_XDP, which moves half as much again as its AF_PACKET sockets; by the variant without
 * threads that spin on a core each ("nonpmd"), since there are not more cores than hosts.
 */
export const openvswitch: Candidate = {
  name: 'openvswitch',
  kind: 'peer',
  about:
    'the userspace datapath (netdev), VXLAN, ports by AF_XDP without spinning threads, no offloads as its tunnels cannot carry super-frames; MTU 1450, a cable of its own',
  version: async () => `openvswitch-switch ${(await Debian.get()).versionOf('openvswitch-switch')}`,
  async place(site) {
    const debian = await Debian.get()
    const [first, second] = site.hosts
    await using undo = new AsyncDisposableStack()
    const places: Place[] = []
    const daemons: Daemon[] = []
    for (const [host, own, other] of [
      [first, 1, 2],
      [second, 2, 1],
    ] as const) {
      undo.defer(() => unplug(site, host))
      await plug(site, host)
      const started = await start(debian, host, undo)
      daemons.push(started)
      places.push(await connect(debian, site, host, own, other))
    }
    const done = undo.move()
    return {
      client: places[0]!,
      server: places[1]!,
      processes: (host) => pidsOn(host, daemons),
      links: site.hosts.map(({ machine }) => ({ netns: machine.netns, device: CABLE })),
      remove: () => done.disposeAsync(),
    }
  },
}

const portOf = (host: DockerHost): string => `port-ov${host.name}`
const netnsOf = ({ lab }: Site, host: DockerHost): string => netnsName(lab.name, `${host.name}5`)

/** A cable to the lab's switch, and a namespace whose interface waits for the daemon. */
async function plug(site: Site, host: DockerHost): Promise<void> {
  const [wires, own, netns] = [site.lab.switch, host.machine.netns, netnsOf(site, host)]
  await command(
    script(`
      ip -n ${wires.netns} link add ${portOf(host)} mtu ${wires.mtu} type veth \\
        peer name ${CABLE} mtu ${wires.mtu} netns ${own}
      ip -n ${wires.netns} link set ${portOf(host)} master br0 up
      ip -n ${own} link set ${CABLE} up
      ip netns add ${netns}
      ip -n ${own} link add vs-port mtu ${MTU} type veth peer name eth0 mtu ${MTU} netns ${netns}
      ip -n ${own} link set vs-port up
      ip -n ${netns} link set lo up
      ip netns exec ${netns} ethtool -K eth0 tx off`),
  )
}

async function unplug(site: Site, host: DockerHost): Promise<void> {
  await tryCommand(argv`ip netns delete ${netnsOf(site, host)}`)
  await tryCommand(argv`ip -n ${site.lab.switch.netns} link delete ${portOf(host)}`)
}

/** Its files and sockets are in a folder of the host's own. */
const folderOf = ({ machine }: DockerHost): string => machine.path('bench-vs')

async function start(
  debian: Debian,
  host: DockerHost,
  undo: AsyncDisposableStack,
): Promise<Daemon> {
  const folder = folderOf(host)
  mkdirSync(folder)
  undo.defer(() => rmSync(folder, { recursive: true }))
  const env = {
    OVS_RUNDIR: folder,
    OVS_LOGDIR: folder,
    OVS_DBDIR: folder,
    OVS_SYSCONFDIR: folder,
    LIBXDP_OBJECT_PATH: debian.path('usr/lib/x86_64-linux-gnu/bpf'),
    OVS_PKGDATADIR: debian.path('usr/share/openvswitch'),
  }
  const database = `${folder}/conf.db`
  await debian.run(host, [PROGRAMS.tool, 'create', database, debian.path(PROGRAMS.schema)])
  const server = await debian.start(host, {
    name: 'ovsdb-server',
    argv: argv`${PROGRAMS.server} ${database} --remote=punix:${folder}/db.sock
      --unixctl=${folder}/ovsdb.ctl --verbose=warn`,
    env,
    ready: async () => (await control(debian, host, argv`--no-wait init`)) === '',
  })
  undo.defer(() => stop(server))
  const daemon = await debian.start(host, {
    name: 'ovs-vswitchd',
    argv: argv`${PROGRAMS.switch} unix:${folder}/db.sock --unixctl=${folder}/switch.ctl
      --verbose=warn`,
    env,
    // Waits until the daemon has done as the database says.
    ready: async () => (await control(debian, host, ['show'])) !== '',
  })
  undo.defer(() => stop(daemon))
  undo.defer(async () => {
    await control(debian, host, argv`-- del-br vs-bridge -- del-br vs-underlay`)
  })
  return daemon
}

async function control(
  debian: Debian,
  host: DockerHost,
  words: readonly string[],
): Promise<string> {
  return debian.run(host, [
    PROGRAMS.control,
    ...argv`--db=unix:${folderOf(host)}/db.sock --timeout=15 ${words}`,
  ])
}

async function connect(
  debian: Debian,
  site: Site,
  host: DockerHost,
  own: number,
  other: number,
): Promise<Place> {
  const netns = netnsOf(site, host)
  await control(
    debian,
    host,
    argv`-- add-br vs-underlay
      -- set bridge vs-underlay datapath_type=netdev other-config:hwaddr=02:00:ac:12:0b:0${own}
      -- add-port vs-underlay ${CABLE} -- set interface ${CABLE} type=${AF_XDP}
      -- add-br vs-bridge -- set bridge vs-bridge datapath_type=netdev
      -- add-port vs-bridge vs-port -- set interface vs-port type=${AF_XDP}
      -- add-port vs-bridge vs-vxlan -- set interface vs-vxlan type=vxlan
         options:remote_ip=${UNDERLAY}.${other} options:key=${VNI} options:dst_port=${PORT}`,
  )
  for (const port of [CABLE, 'vs-port', 'vs-vxlan']) {
    // Empty as an OVSDB set is written when all is well.
    const error = await control(debian, host, argv`get interface ${port} error`)
    if (error !== '[]') throw new OverlayError('host_state', `${port}: ${error}`)
  }
  await host.machine.exec(
    script(`
      ip addr add ${UNDERLAY}.${own}/24 dev vs-underlay
      ip link set vs-underlay up`),
  )
  await command(
    script(`
      ip -n ${netns} addr add ${NET}.${own}/24 dev eth0
      ip -n ${netns} link set eth0 up`),
  )
  return new Place(`${NET}.${own}`, `/run/netns/${netns}`)
}
