import { useLocalStorage } from '@mantine/hooks'
import { createContext, useContext, useEffect, useMemo } from 'react'
import type { ReactNode } from 'react'

import { en } from './en'
import type { MessageKey, Messages } from './en'
import { zh } from './zh'

export type Language = 'en' | 'zh'

const MESSAGES: Record<Language, Messages> = { en, zh }

type Translate = (key: MessageKey, values?: Record<string, string | number>) => string

interface I18n {
  language: Language
  setLanguage: (language: Language) => void
  /** The message `key` in the current language, its `{name}` places filled from `values`. */
  t: Translate
  /** The message of a key that is made of what the server says; `fallback` where there is none. */
  label: (key: string, fallback: string) => string
}

const I18nContext = createContext<I18n | null>(null)

function browserLanguage(): Language {
  return navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en'
}

export function I18nProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useLocalStorage<Language>({
    key: 'xinfer.language',
    defaultValue: browserLanguage(),
    getInitialValueInEffect: false,
  })
  useEffect(() => {
    document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
  }, [language])
  const i18n = useMemo(
    () => ({
      language,
      setLanguage,
      t: translator(MESSAGES[language]),
      label: (key: string, fallback: string) =>
        isMessageKey(key) ? MESSAGES[language][key] : fallback,
    }),
    [language, setLanguage],
  )
  return <I18nContext value={i18n}>{children}</I18nContext>
}

export function useI18n(): I18n {
  const i18n = useContext(I18nContext)
  if (!i18n) throw new Error('useI18n needs an I18nProvider above it')
  return i18n
}

function translator(messages: Messages): Translate {
  return (key, values = {}) =>
    messages[key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]))
}

function isMessageKey(key: string): key is MessageKey {
  return Object.hasOwn(en, key)
}
