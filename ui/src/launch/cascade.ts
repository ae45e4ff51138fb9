import type { EngineAnswers } from '../api/catalogue'
import { formatSize } from '../format'

/** What of a model is launched, and on what; an empty text leaves it to the server. */
export interface Form {
  engine: string
  format: string
  size: string
  quantization: string
}

export const STEPS = ['engine', 'format', 'size', 'quantization'] as const
export const AUTOMATIC: Form = { engine: '', format: '', size: '', quantization: '' }

export type Choices = Record<keyof Form, string[]>

/** What can still be chosen at each step, by what was chosen at those before it. */
export function choicesOf(answers: EngineAnswers, chosen: Form): Choices {
  let left = formsOf(answers)
  const choices: Choices = { engine: [], format: [], size: [], quantization: [] }
  for (const step of STEPS) {
    choices[step] = [...new Set(left.map((form) => form[step]))].filter(Boolean)
    if (step === 'size') choices.size.sort((a, b) => Number(a) - Number(b))
    if (chosen[step]) left = left.filter((form) => form[step] === chosen[step])
  }
  return choices
}

/** `chosen` with another value at one step; later choices that no longer go with it are undone. */
export function choose(
  answers: EngineAnswers,
  chosen: Form,
  step: keyof Form,
  value: string,
): Form {
  const next = { ...chosen, [step]: value }
  for (const later of STEPS.slice(STEPS.indexOf(step) + 1)) {
    if (!choicesOf(answers, next)[later].includes(next[later])) next[later] = ''
  }
  return next
}

/** The engines that run no form of the model, each with its reason. */
export function refusalsOf(answers: EngineAnswers): [engine: string, reason: string][] {
  return Object.entries(answers).flatMap(([engine, answer]) =>
    typeof answer === 'string' ? [[engine, answer]] : [],
  )
}

function formsOf(answers: EngineAnswers): Form[] {
  return Object.entries(answers).flatMap(([engine, answer]) =>
    typeof answer === 'string'
      ? []
      : answer.flatMap(({ model_format, model_size_in_billions, quantizations }) =>
          quantizations.map((quantization) => ({
            engine,
            format: model_format,
            size: model_size_in_billions === null ? '' : formatSize(model_size_in_billions),
            quantization,
          })),
        ),
  )
}
