import { SimpleGrid, Textarea, TextInput } from '@mantine/core'

import type { ModelType } from '../api/model-types'
import { useI18n } from '../i18n'
import type { Fields } from './description'

const LINES = ['name', 'uri', 'format', 'size', 'quantization', 'languages', 'abilities', 'context'] as const

interface Props {
  type: ModelType
  fields: Fields
  onChange: (fields: Fields) => void
}

export function DescriptionFields({ type, fields, onChange }: Props) {
  const { t } = useI18n()
  const common = (field: keyof Fields) => ({
    label: t(`register.${field}`),
    value: fields[field],
    onChange: (event: { currentTarget: { value: string } }) =>
      onChange({ ...fields, [field]: event.currentTarget.value }),
  })
  const lines = [...LINES, ...(type === 'embedding' ? (['dimensions'] as const) : [])]
  return (
    <SimpleGrid cols={{ base: 1, xs: 2 }}>
      {lines.map((field) => (
        <TextInput
          key={field}
          {...common(field)}
          required={field === 'name'}
          placeholder={field === 'uri' ? t('register.uri.placeholder') : undefined}
          autoComplete="off"
          spellCheck={false}
        />
      ))}
      <Textarea {...common('description')} autosize minRows={1} maxRows={4} />
      {type === 'LLM' && (
        <>
          <Textarea
            {...common('template')}
            placeholder={t('register.template.help')}
            autosize
            minRows={1}
            maxRows={10}
            spellCheck={false}
          />
          <Textarea {...common('stop')} placeholder={t('form.perLine')} autosize minRows={1} />
        </>
      )}
    </SimpleGrid>
  )
}
