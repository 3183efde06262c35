import {
  IP_MTU_DISCOVER,
  IP_PMTUDISC_DO,
  IP_TOS,
  IPPROTO_IP,
} from '../../../src/datapath/socket-abi.ts'
import { DatagramSocket } from '../../support/datagram-socket.ts'

/**
 * A program that sends one datagram that must not be cut on the way, and prints 0 or the error's number.
 *
 *   argv   source address, destination address, port, bytes of payload, type of service
 */
const [from = '', to = '', port, size, tos = '0'] = process.argv.slice(2)
using socket = new DatagramSocket()
socket.bind(from)
socket.to(to, Number(port))
socket.set(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
socket.set(IPPROTO_IP, IP_TOS, Number(tos))
console.log(socket.send(Number(size)))
