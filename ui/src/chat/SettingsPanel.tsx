import { NativeSelect, NumberInput, SimpleGrid, Stack, Textarea } from '@mantine/core'

import { useI18n } from '../i18n'
import disclosure from '../shell/Disclosure.module.css'
import { parseTools, SAMPLING } from './settings'
import type { ChatSettings } from './settings'

interface Props {
  settings: ChatSettings
  /** What the model can do. */
  abilities: string[]
  onChange: (changes: Partial<ChatSettings>) => void
}

export function SettingsPanel({ settings, abilities, onChange }: Props) {
  const { t } = useI18n()
  return (
    <details className={disclosure.disclosure}>
      <summary>{t('chat.settings')}</summary>
      <Stack gap="sm" mt="xs" className={disclosure.scrolled}>
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          <Textarea
            label={t('chat.system')}
            description={t('chat.system.help')}
            value={settings.system}
            onChange={(event) => onChange({ system: event.currentTarget.value })}
            autosize
            minRows={1}
            maxRows={6}
          />
          <Textarea
            label={t('chat.stops')}
            description={t('form.perLine')}
            value={settings.stop}
            onChange={(event) => onChange({ stop: event.currentTarget.value })}
            autosize
            minRows={1}
            maxRows={4}
          />
        </SimpleGrid>
        <SimpleGrid cols={{ base: 2, xs: 3, md: 5 }}>
          {SAMPLING.map(({ name, minimum, maximum, step }) => (
            <NumberInput
              key={name}
              label={name}
              value={settings.sampling[name] ?? ''}
              onChange={(value) => onChange({ sampling: withNumber(settings.sampling, name, value) })}
              placeholder={t('chat.modelsOwn')}
              min={minimum}
              max={maximum}
              step={step}
              allowDecimal={step < 1}
            />
          ))}
          {abilities.includes('reasoning') && (
            <NativeSelect
              label={t('chat.thinking')}
              value={settings.thinking}
              onChange={(event) =>
                onChange({ thinking: event.currentTarget.value as ChatSettings['thinking'] })
              }
              data={[
                { value: '', label: t('chat.modelsOwn') },
                { value: 'true', label: t('form.yes') },
                { value: 'false', label: t('form.no') },
              ]}
            />
          )}
        </SimpleGrid>
        {abilities.includes('tools') && (
          <Textarea
            label={t('tools.label')}
            description={t('tools.help')}
            value={settings.tools}
            onChange={(event) => onChange({ tools: event.currentTarget.value })}
            error={parseTools(settings.tools) === null && t('tools.wrong')}
            autosize
            minRows={1}
            maxRows={10}
            spellCheck={false}
            styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
          />
        )}
      </Stack>
    </details>
  )
}

function withNumber(
  sampling: Record<string, number>,
  name: string,
  value: number | string,
): Record<string, number> {
  const { [name]: _, ...others } = sampling
  return value === '' ? others : { ...others, [name]: Number(value) }
}
