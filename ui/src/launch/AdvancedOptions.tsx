import { Fieldset, SimpleGrid, Stack } from '@mantine/core'

import type { EngineOption } from '../api/catalogue'
import { useI18n } from '../i18n'
import disclosure from '../shell/Disclosure.module.css'
import { LAUNCH_FIELDS } from './fields'
import { EngineOptionInput, LaunchFieldInput } from './OptionInputs'

interface Props {
  /** The engine whose options are shown; empty while it is not known. */
  engine: string
  options: EngineOption[]
  values: Record<string, string>
  /** The field whose text is not what it has to be. */
  wrong: string | null
  onChange: (name: string, value: string) => void
}

export function AdvancedOptions({ engine, options, values, wrong, onChange }: Props) {
  const { t } = useI18n()
  const common = (name: string) => ({
    value: values[name] ?? '',
    error: wrong === name && t('form.invalid', { field: name }),
    onChange: (value: string) => onChange(name, value),
  })
  return (
    <details className={disclosure.disclosure}>
      <summary>{t('form.advanced')}</summary>
      <Stack mt="xs">
        {options.length > 0 && (
          <Fieldset mx={0} legend={t('form.advanced.engine', { engine })}>
            <SimpleGrid cols={{ base: 1, xs: 2 }}>
              {options.map((option) => (
                <EngineOptionInput key={option.name} option={option} {...common(option.name)} />
              ))}
            </SimpleGrid>
          </Fieldset>
        )}
        <Fieldset mx={0} legend={t('form.advanced.launch')}>
          <SimpleGrid cols={{ base: 1, xs: 2 }}>
            {LAUNCH_FIELDS.map((field) => (
              <LaunchFieldInput key={field.name} field={field} {...common(field.name)} />
            ))}
          </SimpleGrid>
        </Fieldset>
      </Stack>
    </details>
  )
}
