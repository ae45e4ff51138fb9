import { NativeSelect, Textarea, TextInput } from '@mantine/core'
import type { ReactNode } from 'react'

import type { EngineOption } from '../api/catalogue'
import { useI18n } from '../i18n'
import type { MessageKey } from '../i18n/en'
import { Sentence } from '../shell/Sentence'
import type { LaunchField } from './fields'

interface Props {
  value: string
  error: ReactNode
  onChange: (value: string) => void
}

/** Options have the server's own names and descriptions, in its language. */
export function EngineOptionInput({ option, ...props }: Props & { option: EngineOption }) {
  const { t } = useI18n()
  const told = option.default === null || option.default === '' ? '' : text(option.default)
  const common = {
    label: option.name,
    description: (
      <span lang="en">
        <Sentence text={option.description} />
      </span>
    ),
    inputWrapperOrder: ['label', 'input', 'error', 'description'] as Order,
  }
  const placeholder = told && t('form.default', { value: told })
  if (option.type === 'boolean' || option.type === 'choice') {
    const choices = option.type === 'boolean' ? ['true', 'false'] : option.choices.map(String)
    return <Choice {...common} {...props} choices={choices} unset={placeholder} />
  }
  return <Line {...common} {...props} placeholder={placeholder} />
}

const HELP: Partial<Record<LaunchField['kind'], MessageKey>> = {
  lines: 'form.perLine',
  pairs: 'form.keyValue',
  adapters: 'form.nameValue',
  list: 'form.commas',
  integers: 'form.commas',
  json: 'form.json',
}

const LONG: LaunchField['kind'][] = ['lines', 'pairs', 'adapters', 'json']

export function LaunchFieldInput({ field, ...props }: Props & { field: LaunchField }) {
  const { t } = useI18n()
  const help = HELP[field.kind]
  const common = {
    label: t(field.label),
    description: help && t(help),
    inputWrapperOrder: ['label', 'input', 'error', 'description'] as Order,
  }
  if (field.kind === 'boolean') return <Choice {...common} {...props} choices={['true', 'false']} />
  if (field.kind === 'choice') return <Choice {...common} {...props} choices={field.choices ?? []} />
  if (LONG.includes(field.kind)) {
    return (
      <Textarea
        {...common}
        {...props}
        placeholder={field.placeholder}
        onChange={(event) => props.onChange(event.currentTarget.value)}
        autosize
        minRows={1}
        spellCheck={false}
      />
    )
  }
  return <Line {...common} {...props} placeholder={field.placeholder} />
}

type Order = ('label' | 'input' | 'error' | 'description')[]

interface Common extends Props {
  label: string
  description: ReactNode
  inputWrapperOrder: Order
}

function Line({ onChange, ...props }: Common & { placeholder?: string }) {
  return (
    <TextInput
      {...props}
      onChange={(event) => onChange(event.currentTarget.value)}
      autoComplete="off"
      spellCheck={false}
    />
  )
}

function Choice({ choices, unset, onChange, ...props }: Common & { choices: readonly string[]; unset?: string }) {
  const { t, label } = useI18n()
  const names: Record<string, MessageKey> = { true: 'form.yes', false: 'form.no' }
  return (
    <NativeSelect
      {...props}
      onChange={(event) => onChange(event.currentTarget.value)}
      data={[
        { value: '', label: unset || t('form.unset') },
        ...choices.map((value) => ({ value, label: label(names[value] ?? '', value) })),
      ]}
    />
  )
}

function text(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
