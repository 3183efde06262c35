import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { ConversationValues } from './conversation-values.ts'
import { UnixClient } from './unix-client.ts'

const conversation = z.strictObject({
  about: z.string(),
  /** The release of Docker that speaks so. */
  docker: z.string(),
  /** Taken from the wire between a real dockerd and a plugin, or read from dockerd's source. */
  source: z.enum(['recorded', 'read']),
  commands: z.array(
    z.strictObject({
      /** What a person does that makes dockerd call. */
      command: z.string(),
      calls: z.array(
        z.strictObject({
          call: z.string(),
          /** Missing: an empty body. */
          with: z.unknown().optional(),
          answers: z.unknown().optional(),
          /** Instead of an answer: a part of the error's text. */
          fails: z.string().optional(),
        }),
      ),
    }),
  ),
})

const createdNetwork = z.object({ NetworkID: z.string() })

/** What dockerd says to a plugin, and the answers that it must get; placeholders are ConversationValues'. */
export type Conversation = z.output<typeof conversation>

/** @throws when a file is not a conversation */
export function loadConversations(folder: string): ReadonlyMap<string, Conversation> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'))
  return new Map(
    names.map((name) => [
      name.replace(/\.json$/, ''),
      conversation.parse(JSON.parse(readFileSync(join(folder, name), 'utf8'))),
    ]),
  )
}

/** Stands for Docker's event stream, from which a plugin learns what its networks are called. */
export type TellName = (networkId: string, name: string) => void

/**
 * Speaks dockerd's part to the plugin on a socket; each network is called as its command's last word
 * says, and `afterCommand` hears of each command that is done. Returns the first difference, as
 * "docker run …: NetworkDriver.Join (call 3): InterfaceName.DstPrefix: wanted …, found …", or null.
 */
export async function playConversation(
  { commands }: Conversation,
  socketPath: string,
  tellName: TellName = () => {},
  afterCommand: (command: string) => Promise<void> = async () => {},
): Promise<string | null> {
  const values = new ConversationValues()
  using client = new UnixClient(socketPath)
  let count = 0
  for (const { command, calls } of commands) {
    for (const step of calls) {
      count += 1
      const request = values.fill(step.with)
      const reply = await client.call(step.call, request)
      const difference =
        step.fails === undefined
          ? reply.status === 200
            ? values.difference(step.answers ?? {}, reply.json)
            : `wanted an answer, found status ${reply.status}: ${reply.body}`
          : failureDifference(step.fails, reply.status, reply.json)
      if (difference !== null) return `${command}: ${step.call} (call ${count}): ${difference}`
      if (step.call === 'NetworkDriver.CreateNetwork' && reply.status === 200) {
        tellName(createdNetwork.parse(request).NetworkID, command.split(' ').at(-1)!)
      }
    }
    await afterCommand(command)
  }
  return null
}

function failureDifference(
  part: string,
  status: number,
  { Err, Error: text }: Record<string, unknown>,
): string | null {
  const isFailure = status === 500 && Err === text && String(Err).includes(part)
  return isFailure ? null : `wanted an error with "${part}", found status ${status}: ${String(Err)}`
}
