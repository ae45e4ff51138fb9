import { NativeSelect, NumberInput, SimpleGrid, Stack, TextInput } from '@mantine/core'

import type { EngineDetails } from '../api/instances'
import { useI18n } from '../i18n'
import disclosure from '../shell/Disclosure.module.css'
import { NUMBERS } from './image-settings'
import type { ImageSettings } from './image-settings'

interface Props {
  settings: ImageSettings
  details: EngineDetails
  /** Whether there is a picture to change. */
  edits: boolean
  onChange: (changes: Partial<ImageSettings>) => void
}

export function ImageSettingsPanel({ settings, details, edits, onChange }: Props) {
  const { t } = useI18n()
  return (
    <details className={disclosure.disclosure}>
      <summary>{t('image.settings')}</summary>
      <Stack gap="sm" mt="xs">
        <TextInput
          label={t('image.negative')}
          value={settings.negative}
          onChange={(event) => onChange({ negative: event.currentTarget.value })}
        />
        <SimpleGrid cols={{ base: 2, xs: 3, md: 5 }}>
          {NUMBERS.filter((one) => edits || !one.edits).map(({ name, minimum, maximum, step }) => (
            <NumberInput
              key={name}
              label={name}
              value={settings.numbers[name] ?? ''}
              onChange={(value) => {
                const { [name]: _, ...others } = settings.numbers
                onChange({ numbers: value === '' ? others : { ...others, [name]: Number(value) } })
              }}
              placeholder={t('chat.modelsOwn')}
              min={minimum}
              max={maximum}
              step={step}
              allowDecimal={step < 1}
            />
          ))}
          {details.schedulers && (
            <NativeSelect
              label="sampler_name"
              value={settings.sampler}
              onChange={(event) => onChange({ sampler: event.currentTarget.value })}
              data={[{ value: '', label: t('chat.modelsOwn') }, ...details.schedulers]}
            />
          )}
        </SimpleGrid>
      </Stack>
    </details>
  )
}
