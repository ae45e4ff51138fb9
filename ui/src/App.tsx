import { AppShell, Skeleton } from '@mantine/core'
import { lazy, Suspense, useEffect, useRef, useState, useSyncExternalStore } from 'react'

import { apiKey } from './api/api-key'
import { useChat } from './chat/useChat'
import { useI18n } from './i18n'
import { LaunchPage } from './launch/LaunchPage'
import { PlaygroundPage } from './playground/PlaygroundPage'
import { useRoute } from './route'
import { RunningPage } from './running/RunningPage'
import classes from './App.module.css'
import { ApiKeyForm } from './shell/ApiKeyForm'
import { Header } from './shell/Header'
import { Navigation } from './shell/Navigation'

// Pages that are opened less often are not loaded with the first one.
const RegisterPage = lazy(() => import('./register/RegisterPage'))
const ClusterPage = lazy(() => import('./cluster/ClusterPage'))

export function App() {
  const { t } = useI18n()
  const { view, model } = useRoute()
  const { refused } = useSyncExternalStore(apiKey.subscribe, apiKey.get)
  const [changingKey, setChangingKey] = useState(false)
  // Held here so that an answer keeps streaming while another view is open.
  const chat = useChat()
  const main = useFocusOnChange(view)

  useEffect(() => {
    document.title = `${t(`nav.${view}`)} · xinfer`
  }, [t, view])

  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 208, breakpoint: 'sm', collapsed: { mobile: true } }}
      footer={{ height: { base: 60, sm: 0 } }}
      padding={{ base: 'md', sm: 'lg' }}
      classNames={{ main: classes.main }}
    >
      <a
        className={classes.skip}
        href="#main"
        onClick={(event) => {
          event.preventDefault()
          main.current?.focus()
        }}
      >
        {t('nav.skip')}
      </a>
      <AppShell.Header>
        <Header onChangeKey={() => setChangingKey(true)} />
      </AppShell.Header>
      <AppShell.Navbar p="sm" visibleFrom="sm" aria-label={t('nav.label')}>
        <Navigation view={view} />
      </AppShell.Navbar>
      <AppShell.Main ref={main} id="main" tabIndex={-1}>
        <div className={classes.page}>
          {(refused || changingKey) && (
            <ApiKeyForm refused={refused} onClose={() => setChangingKey(false)} />
          )}
          <Suspense fallback={<Skeleton h={160} aria-label={t('loading')} />}>
            {view === 'launch' && <LaunchPage model={model} />}
            {view === 'running' && <RunningPage />}
            {view === 'playground' && <PlaygroundPage uid={model} chat={chat} />}
            {view === 'register' && <RegisterPage />}
            {view === 'cluster' && <ClusterPage />}
          </Suspense>
        </div>
      </AppShell.Main>
      <AppShell.Footer hiddenFrom="sm">
        <nav aria-label={t('nav.label')}>
          <Navigation view={view} compact />
        </nav>
      </AppShell.Footer>
    </AppShell>
  )
}

/** Moves the focus to the main part whenever `value` changes, so that it is read and tabbed from. */
function useFocusOnChange(value: string) {
  const element = useRef<HTMLElement>(null)
  const previous = useRef(value)
  useEffect(() => {
    if (previous.current !== value) element.current?.focus({ preventScroll: true })
    previous.current = value
  }, [value])
  return element
}
