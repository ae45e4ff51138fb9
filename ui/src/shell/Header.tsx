import { ActionIcon, Button, Group, Text, useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import { useSyncExternalStore } from 'react'

import { apiKey } from '../api/api-key'
import { useI18n } from '../i18n'
import { KeyIcon, MoonIcon, SunIcon } from './icons'
import { Logo } from './Logo'

export function Header({ onChangeKey }: { onChangeKey: () => void }) {
  const { t, language, setLanguage } = useI18n()
  const { key } = useSyncExternalStore(apiKey.subscribe, apiKey.get)
  const { setColorScheme } = useMantineColorScheme()
  const dark = useComputedColorScheme('light', { getInitialValueInEffect: false }) === 'dark'
  const other = language === 'en' ? 'zh' : 'en'
  return (
    <Group h="100%" px="md" justify="space-between" wrap="nowrap">
      <Group gap="xs" wrap="nowrap">
        <Logo />
        <Text fw={700} fz="lg">
          xinfer
        </Text>
      </Group>
      <Group gap="xs" wrap="nowrap">
        <Button component="a" href="docs" variant="subtle" color="gray" size="compact-md">
          {t('docs')}
        </Button>
        {key && (
          <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t('key.change')} onClick={onChangeKey}>
            <KeyIcon />
          </ActionIcon>
        )}
        <Button
          variant="subtle"
          color="gray"
          size="compact-md"
          lang={other === 'zh' ? 'zh-CN' : 'en'}
          onClick={() => setLanguage(other)}
        >
          {other === 'zh' ? '中文' : 'English'}
        </Button>
        <ActionIcon
          variant="subtle"
          color="gray"
          size="lg"
          aria-label={t(dark ? 'theme.light' : 'theme.dark')}
          onClick={() => setColorScheme(dark ? 'light' : 'dark')}
        >
          {dark ? <SunIcon /> : <MoonIcon />}
        </ActionIcon>
      </Group>
    </Group>
  )
}
