import { SyntaxKind, type Node } from 'typescript/unstable/ast'
import {
  isBinaryExpression,
  isCallExpression,
  isElementAccessExpression,
  isIdentifier,
  isNonNullExpression,
  isNumericLiteral,
  isParenthesizedExpression,
  isPrivateIdentifier,
  isPropertyAccessExpression,
} from 'typescript/unstable/ast/is'

/** What a function or a variable stands for in a sentence, where its name does not say it to a user. */
const MEANT: Readonly<Record<string, string>> = {
  describeOverlay: 'overlay',
  errnoName: 'errno',
  held: 'subnet',
  hostName: 'host',
  holder: 'host',
  ip: 'address',
  joinCommand: 'command',
  messageOf: 'error',
  nameOf: 'name',
  noun: 'subnet or pool',
  portText: 'port',
  places: 'subnet',
  stderr: 'what the program says',
}

/** Whether a call stands for one thing, however the function writes it. */
export const isMeant = (name: string): boolean => name in MEANT

/** Stands for what an expression has when it happens: subnetLength is "‹subnet length›". */
export function holeFor(node: Node): string {
  const name = meaningOf(node) ?? '…'
  const words = name.replace(/([a-z])([A-Z])/g, '$1 $2').replaceAll('_', ' ')
  return `‹${words.toLowerCase()}›`
}

function meaningOf(node: Node): string | null {
  if (isNonNullExpression(node) || isParenthesizedExpression(node)) {
    return meaningOf(node.expression)
  }
  if (isCallExpression(node)) {
    const name = nameOf(node.expression)
    if (name !== null && name in MEANT) return MEANT[name]!
    // Of names.join(', ') the names, of formatIp(address) the address.
    if (isPropertyAccessExpression(node.expression)) return meaningOf(node.expression.expression)
    const [first] = node.arguments
    return first === undefined ? name : meaningOf(first)
  }
  if (isBinaryExpression(node)) {
    const { left, right, operatorToken } = node
    const isDivided = operatorToken.kind === SyntaxKind.SlashToken && isNumericLiteral(right)
    return isDivided && right.text === '1000' ? 'seconds' : meaningOf(left)
  }
  if (isElementAccessExpression(node)) {
    return meaningOf(node.argumentExpression) ?? meaningOf(node.expression)
  }
  const name = nameOf(node)
  const isCount = isPropertyAccessExpression(node) && name === 'length'
  if (isCount && nameOf(node.expression)?.endsWith('s')) return 'count'
  return name === null ? null : (MEANT[name] ?? name)
}

/** The name that an expression ends with: `view` of this.#view. */
export function nameOf(node: Node): string | null {
  if (isIdentifier(node)) return node.text
  if (isPrivateIdentifier(node)) return node.text.replace('#', '')
  return isPropertyAccessExpression(node) ? nameOf(node.name) : null
}
