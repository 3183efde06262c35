import { join } from 'node:path'
import {
  loadConversations,
  playConversation,
  type Conversation,
  type TellName,
} from '../support/libnetwork-conversation.ts'

/** By file name without ".json". */
export const CONVERSATIONS: ReadonlyMap<string, Conversation> = loadConversations(
  join(import.meta.dirname, '..', 'golden', 'libnetwork'),
)

/**
 * The contract of anything that answers dockerd: plays every conversation to the plugin on a socket,
 * one after the other, and returns the differences, empty when there is none.
 */
export async function protocolDifferences(
  socketPath: string,
  tellName?: TellName,
): Promise<string[]> {
  const differences: string[] = []
  for (const [name, conversation] of CONVERSATIONS) {
    const difference = await playConversation(conversation, socketPath, tellName)
    if (difference !== null) differences.push(`${name}: ${difference}`)
  }
  return differences
}
