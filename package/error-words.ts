import {
  SyntaxKind,
  type Expression,
  type Identifier,
  type Node,
  type SourceFile,
} from 'typescript/unstable/ast'
import {
  isArrowFunction,
  isBinaryExpression,
  isCallExpression,
  isConditionalExpression,
  isElementAccessExpression,
  isFunctionDeclaration,
  isFunctionExpression,
  isIdentifier,
  isMethodDeclaration,
  isNewExpression,
  isNonNullExpression,
  isNoSubstitutionTemplateLiteral,
  isNumericLiteral,
  isObjectLiteralExpression,
  isParameterDeclaration,
  isParenthesizedExpression,
  isPropertyAccessExpression,
  isPropertyAssignment,
  isReturnStatement,
  isStringLiteral,
  isTemplateExpression,
  isVariableDeclaration,
} from 'typescript/unstable/ast/is'
import { holeFor, isMeant, nameOf } from './error-holes.ts'

/** More variants of one sentence say less than one with a hole. */
const MOST_VARIANTS = 8

/** Helpers in helpers: the texts of the code are nested no deeper. */
const MOST_DEPTH = 12

/** Functions that are handed on under another name, which the call does not show: their folder and their own. */
const HANDED: Readonly<Record<string, readonly [string, string]>> = {
  clash: ['/src/ipam/', 'routeClash'],
  hazard: ['/src/store/', 'addressInside'],
  refusal: ['/src/ipam/', 'refusal'],
}

/** What an expression may say. Every text stands for itself; what is known only when it happens is a hole. */
export class ErrorWords {
  /** By name, over all the files: the functions and the constants outside of functions. */
  readonly #declared = new Map<string, Node[]>()

  constructor(sources: readonly SourceFile[]) {
    for (const source of sources) {
      visit(source, (node) => {
        const isNamed = isFunctionDeclaration(node) || isConstantOfFile(node) || isGiven(node)
        const name = isNamed && nameOf(node.name!)
        if (name) this.#declared.set(name, [...(this.#declared.get(name) ?? []), node])
      })
    }
  }

  /** Every text that the expression may have, without what an empty or absent value would say. */
  textsOf(node: Expression, depth = 0): string[] {
    const again = (other: Expression): string[] => this.textsOf(other, depth + 1)
    if (isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node)) return [node.text]
    if (isNumericLiteral(node)) return [String(Number(node.text))]
    if (node.kind === SyntaxKind.NullKeyword || nameOf(node) === 'undefined') return []
    if (depth > MOST_DEPTH) return [holeFor(node)]
    if (isParenthesizedExpression(node) || isNonNullExpression(node)) return again(node.expression)
    if (isTemplateExpression(node)) {
      const parts = node.templateSpans.flatMap(({ expression, literal }) => [
        expression,
        literal.text,
      ])
      return this.#joined([node.head.text, ...parts], depth)
    }
    if (isConditionalExpression(node)) return [...again(node.whenTrue), ...again(node.whenFalse)]
    if (isBinaryExpression(node)) {
      const { left, right, operatorToken } = node
      if (operatorToken.kind === SyntaxKind.PlusToken) return this.#joined([left, right], depth)
      if (operatorToken.kind === SyntaxKind.AmpersandAmpersandToken) return again(right)
      const isEither = EITHER.includes(operatorToken.kind)
      return isEither ? saidOr(node, [...again(left), ...again(right)]) : [holeFor(node)]
    }
    return saidOr(node, this.#behind(node).flatMap(again))
  }

  /** One text for each choice of the parts; what belongs together is chosen together. */
  #joined(parts: readonly (string | Expression)[], depth: number): string[] {
    const all = parts.map((part) =>
      typeof part === 'string' ? [part] : this.textsOf(part, depth + 1),
    )
    const keys = parts.map((part) => (typeof part === 'string' ? '' : this.#choiceOf(part)))
    let said = parts.map(() => '')
    let ways: string[][] = [said]
    for (const key of new Set(keys)) {
      const places = keys.flatMap((each, index) => (each === key ? [index] : []))
      const count = Math.max(...places.map((index) => all[index]!.length))
      const rows = Array.from({ length: key === '' ? 1 : count }, (_, way) =>
        places.map(
          (index) => all[index]![way % all[index]!.length] ?? holeFor(parts[index] as Expression),
        ),
      )
      const choices = [...new Map(rows.map((row) => [row.join('\0'), row])).values()]
      const holes = [places.map((index) => holeFor(parts[index] as Expression))]
      const isFew = ways.length * choices.length <= MOST_VARIANTS && choices.length > 0
      ways = ways.flatMap((way) =>
        (isFew ? choices : holes).map((row) => {
          said = [...way]
          for (const [nth, index] of places.entries()) said[index] = row[nth]!
          return said
        }),
      )
    }
    return ways.map((way) => way.join(''))
  }

  /** obstacle.reason and obstacle.remedy are of one obstacle, two parameters of one call. */
  #choiceOf(node: Expression): string {
    const whole = isPropertyAccessExpression(node) ? node.expression : node
    const declaration = isIdentifier(node) ? declarationFor(node) : undefined
    const isParameter = declaration !== undefined && isParameterDeclaration(declaration)
    return isParameter ? `the call of ${declaration.parent.pos}` : whole.getText()
  }

  /** The expressions that the value of this one comes from, as far as the code shows them plainly. */
  #behind(node: Expression): Expression[] {
    if (isIdentifier(node)) return this.#valuesOf(node)
    if (isElementAccessExpression(node)) {
      return this.#behind(node.expression).flatMap((table) => propertiesOf(table, null))
    }
    if (isPropertyAccessExpression(node)) {
      const objects = this.#objectsBehind(node.expression)
      return objects.flatMap((object) => propertiesOf(object, nameOf(node.name)))
    }
    if (isCallExpression(node)) {
      const name = nameOf(node.expression) ?? ''
      const handed = HANDED[name]
      if (handed) {
        const [folder, own] = handed
        const all = this.#declared.get(own) ?? []
        return all.filter((each) => fileOf(each).fileName.includes(folder)).flatMap(returnsOf)
      }
      const isOpen = isIdentifier(node.expression) && !isMeant(name)
      // How an address is written says nothing.
      const made = isOpen ? this.#declarationsOf(name, node) : []
      return made.filter((each) => !fileOf(each).fileName.includes('/src/net/')).flatMap(returnsOf)
    }
    return []
  }

  #objectsBehind(node: Expression): Expression[] {
    if (!isIdentifier(node)) return []
    return this.#behind(node).flatMap((from) => {
      if (isConditionalExpression(from)) {
        return [from.whenTrue, from.whenFalse].flatMap((each) => this.#behind(each))
      }
      return isCallExpression(from) ? this.#behind(from) : [from]
    })
  }

  /** Of a constant its value, of a parameter what the callers in its file pass. */
  #valuesOf(node: Identifier): Expression[] {
    const near = declarationFor(node)
    const found = near === undefined ? this.#declarationsOf(node.text, node) : [near]
    return found.flatMap((declaration) => {
      if (isParameterDeclaration(declaration)) return argumentsOf(declaration)
      if (!isVariableDeclaration(declaration) || !declaration.initializer) return []
      const later = assignedTo(declaration, node.text)
      return later.length > 0 ? later : [declaration.initializer]
    })
  }

  /** The file's own, else the only one of that name. */
  #declarationsOf(name: string, from: Node): Node[] {
    const all = this.#declared.get(name) ?? []
    const own = all.filter((each) => fileOf(each) === fileOf(from))
    if (own.length > 0) return own
    return all.length === 1 ? all : []
  }
}

/** The texts that were found behind an expression, or a hole where they are but values. */
function saidOr(node: Expression, texts: readonly string[]): string[] {
  const hole = holeFor(node)
  const found = texts.map((text) => (isHole(text) ? hole : text))
  if (found.length === 1 && /^\d+$/.test(found[0]!) && /^[A-Z][A-Z_0-9]+\b/.test(node.getText()))
    return found
  // A word beside a hole is a value that may be left out, such as the "docker" of -o gateway=.
  const hasClause = found.some((text) => text.includes(' ') && hasWords(text))
  return found.some(hasWords) && (hasClause || !found.includes(hole)) ? found : [hole]
}

const EITHER = [SyntaxKind.QuestionQuestionToken, SyntaxKind.BarBarToken]

/** Calls the function for the node and everything in it. */
export function visit(node: Node, see: (node: Node) => void): void {
  see(node)
  node.forEachChild((child) => visit(child, see))
}

function isFunctionLike(node: Node): boolean {
  return (
    isFunctionDeclaration(node) ||
    isMethodDeclaration(node) ||
    isArrowFunction(node) ||
    isFunctionExpression(node)
  )
}

function isConstantOfFile(node: Node): node is Node & { readonly name: Node } {
  return isVariableDeclaration(node) && node.parent.parent.parent === fileOf(node)
}

const isGiven = (node: Node): node is Node & { readonly name: Node } =>
  isPropertyAssignment(node) && isArrowFunction(node.initializer)

function fileOf(node: Node): SourceFile {
  let file = node
  while (file.parent !== undefined) file = file.parent
  return file as SourceFile
}

function returnsOf(declaration: Node): Expression[] {
  const isValue = isVariableDeclaration(declaration) || isPropertyAssignment(declaration)
  const made = isValue ? declaration.initializer : declaration
  if (made === undefined) return []
  if (isArrowFunction(made) && made.body.kind !== SyntaxKind.Block) return [made.body]
  const found: Expression[] = []
  const look = (node: Node): void => {
    if (isReturnStatement(node) && node.expression) found.push(node.expression)
    if (!isFunctionLike(node)) node.forEachChild(look)
  }
  if (isFunctionLike(made)) made.forEachChild(look)
  return found
}

function propertiesOf(object: Expression, name: string | null): Expression[] {
  if (!isObjectLiteralExpression(object)) return []
  return object.properties.flatMap((each) =>
    isPropertyAssignment(each) && (name === null || nameOf(each.name) === name)
      ? [each.initializer]
      : [],
  )
}

function argumentsOf(parameter: Node): Expression[] {
  const made = parameter.parent as Node & { parameters: readonly Node[]; name?: Node }
  const called = made.name ?? (isVariableDeclaration(made.parent) ? made.parent.name : undefined)
  const name = called && nameOf(called)
  const index = made.parameters.indexOf(parameter)
  const found: Expression[] = []
  visit(fileOf(parameter), (node) => {
    if (!isCallExpression(node) || !name || nameOf(node.expression) !== name) return
    const argument = node.arguments[index]
    if (argument !== undefined) found.push(argument)
  })
  return found
}

/** The variable or the parameter of that name, of the nearest function that has one. */
function declarationFor(node: Identifier): Node | undefined {
  for (let around = node.parent; around !== undefined; around = around.parent) {
    if (!isFunctionLike(around) && around.parent !== undefined) continue
    const found: Node[] = []
    visit(around, (each) => {
      const isNamed = isVariableDeclaration(each) || isParameterDeclaration(each)
      if (isNamed && nameOf(each.name) === node.text) found.push(each)
    })
    if (found.length > 0) return found[0]
  }
  return undefined
}

function assignedTo(declaration: Node, name: string): Expression[] {
  const found: Expression[] = []
  visit(declaration.parent.parent.parent, (node) => {
    if (!isBinaryExpression(node) || node.operatorToken.kind !== SyntaxKind.EqualsToken) return
    if (nameOf(node.left) === name) found.push(node.right)
  })
  return found
}

const isHole = (text: string): boolean => /^‹[^›]*›$/.test(text)

const hasWords = (text: string): boolean =>
  (text.replace(/‹.*?›/g, '').match(/[a-z]{2,}|^-o$|^--/gi) ?? []).length > 0

/** Whether it is a sentence of ours: fewer words are those of another program. */
export const isSentence = (text: string): boolean =>
  (text.replace(/‹.*?›/g, '').match(/[a-z]{2,}/gi) ?? []).length > 2

export const isOverlayError = (node: Node): node is Node & { arguments?: readonly Expression[] } =>
  isNewExpression(node) && nameOf(node.expression) === 'OverlayError'
