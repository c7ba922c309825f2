package gate

// challengeWords are what the challenge page says in one language.
type challengeWords struct {
	Lang, Title, Trouble, Text, Asked, Posted, NoScript, Progress, Again, Go, Home string

	Working, Loading, Please, Checking, Done, Going, Back string // as it goes on
	Refused, Network, Broken, Unreachable                 string // what went wrong
	Invalid, Expired, Unknown                             string // instead of a challenge

	MFATitle, MFAText, MFANone string // where a second factor is missing
}

// scripted are the words that the page's script needs.
func (w *challengeWords) scripted() map[string]string {
	return map[string]string{
		"working": w.Working, "loading": w.Loading, "please": w.Please, "checking": w.Checking, "done": w.Done, "going": w.Going,
		"back": w.Back, "text": w.Text, "trouble": w.Trouble, "refused": w.Refused, "network": w.Network, "broken": w.Broken,
	}
}

// contact is the word for whom to turn to.
func (w *challengeWords) contact() string { return speak(w.Lang).Contact }

// speakChallenge chooses the language as speak does.
func speakChallenge(header string) *challengeWords {
	lang := speak(header).Lang
	for i := range challengeLanguages {
		if challengeLanguages[i].Lang == lang {
			return &challengeLanguages[i]
		}
	}
	return &challengeLanguages[0]
}

var challengeLanguages = []challengeWords{
	{
		Lang: "en", Title: "One moment, please", Trouble: "That did not work", Home: "To the start page",
		Text:     "Before you go on, your browser solves a small puzzle, so that programs which try passwords are slowed down. You need not do anything.",
		Asked:    "Before you go on, please show that you are no program that tries passwords.",
		Posted:   "What you entered was not checked and not kept. Please enter it again afterwards.",
		NoScript: "This check needs JavaScript. Please switch it on for this site and reload the page.",
		Progress: "Progress of the check", Again: "Try again", Go: "Continue",
		Working: "Your browser is at work. This takes a few seconds.", Loading: "The check is being loaded.",
		Please: "Please answer the question above.", Checking: "The answer is being checked.",
		Done: "Thank you, that was it", Going: "You are taken back.", Back: "You can go back now.",
		Refused: "The answer was not accepted. Please try again.", Network: "The connection was lost. Please try again.",
		Broken:      "The check cannot be done at the moment. Please try again in a minute.",
		Unreachable: "Your browser cannot load the check. Please allow it if you use a content blocker, or try another network.",
		Invalid:     "This link is not valid. Please go back to the page that you came from.",
		Expired:     "This page was open for too long. Please go back to the page that you came from.",
		Unknown:     "Your network address is not known here, so you cannot be checked. Please contact the people who run this site.",
		MFATitle:    "One more step",
		MFAText:     "For this sign-in a second factor is needed. Please finish it; until then you are not signed in.",
		MFANone:     "For this sign-in a second factor is needed, and this site has asked you for none. Please sign in from a device that you used before, or contact the people who run this site.",
	},
	{
		Lang: "de", Title: "Einen Moment bitte", Trouble: "Das hat nicht geklappt", Home: "Zur Startseite",
		Text:     "Bevor es weitergeht, löst Ihr Browser eine kleine Aufgabe, damit Programme, die Passwörter durchprobieren, gebremst werden. Sie müssen nichts tun.",
		Asked:    "Bevor es weitergeht, zeigen Sie bitte, dass Sie kein Programm sind, das Passwörter durchprobiert.",
		Posted:   "Ihre Eingaben wurden weder geprüft noch gespeichert. Bitte geben Sie sie danach noch einmal ein.",
		NoScript: "Diese Prüfung braucht JavaScript. Bitte schalten Sie es für diese Seite ein und laden Sie sie neu.",
		Progress: "Fortschritt der Prüfung", Again: "Noch einmal versuchen", Go: "Weiter",
		Working: "Ihr Browser arbeitet. Das dauert einige Sekunden.", Loading: "Die Prüfung wird geladen.",
		Please: "Bitte beantworten Sie die Frage oben.", Checking: "Die Antwort wird geprüft.",
		Done: "Danke, das war es", Going: "Es geht gleich weiter.", Back: "Sie können jetzt zurückgehen.",
		Refused: "Die Antwort wurde nicht angenommen. Bitte versuchen Sie es noch einmal.", Network: "Die Verbindung ist abgebrochen. Bitte versuchen Sie es noch einmal.",
		Broken:      "Die Prüfung ist im Augenblick nicht möglich. Bitte versuchen Sie es in einer Minute noch einmal.",
		Unreachable: "Ihr Browser kann die Prüfung nicht laden. Bitte erlauben Sie sie, falls Sie Inhalte blockieren, oder versuchen Sie es in einem anderen Netz.",
		Invalid:     "Dieser Link ist ungültig. Bitte gehen Sie zu der Seite zurück, von der Sie kamen.",
		Expired:     "Diese Seite war zu lange offen. Bitte gehen Sie zu der Seite zurück, von der Sie kamen.",
		Unknown:     "Ihre Netzwerkadresse ist hier nicht bekannt, daher ist keine Prüfung möglich. Bitte wenden Sie sich an die Betreiber dieser Seite.",
		MFATitle:    "Noch ein Schritt",
		MFAText:     "Für diese Anmeldung wird ein zweiter Faktor gebraucht. Bitte schließen Sie sie ab; bis dahin sind Sie nicht angemeldet.",
		MFANone:     "Für diese Anmeldung wird ein zweiter Faktor gebraucht, und diese Seite hat Sie nach keinem gefragt. Bitte melden Sie sich von einem Gerät an, das Sie schon benutzt haben, oder wenden Sie sich an die Betreiber dieser Seite.",
	},
	{
		Lang: "fr", Title: "Un instant, s’il vous plaît", Trouble: "Cela n’a pas fonctionné", Home: "Vers la page d’accueil",
		Text:     "Avant de continuer, votre navigateur résout un petit calcul qui freine les programmes essayant des mots de passe. Vous n’avez rien à faire.", //nolint:misspell // French
		Asked:    "Avant de continuer, veuillez montrer que vous n’êtes pas un programme qui essaie des mots de passe.",
		Posted:   "Votre saisie n’a été ni vérifiée ni conservée. Veuillez la refaire ensuite.",
		NoScript: "Cette vérification a besoin de JavaScript. Veuillez l’activer pour ce site et recharger la page.",
		Progress: "Avancement de la vérification", Again: "Réessayer", Go: "Continuer",
		Working: "Votre navigateur travaille. Cela prend quelques secondes.", Loading: "La vérification se charge.",
		Please: "Veuillez répondre à la question ci-dessus.", Checking: "La réponse est en cours de vérification.",
		Done: "Merci, c’est terminé", Going: "Vous allez revenir à la page.", Back: "Vous pouvez maintenant revenir en arrière.",
		Refused: "La réponse n’a pas été acceptée. Veuillez réessayer.", Network: "La connexion a été interrompue. Veuillez réessayer.",
		Broken:      "La vérification est impossible pour le moment. Veuillez réessayer dans une minute.",
		Unreachable: "Votre navigateur ne peut pas charger la vérification. Veuillez l’autoriser si vous bloquez des contenus, ou essayer un autre réseau.",
		Invalid:     "Ce lien n’est pas valable. Veuillez revenir à la page d’où vous venez.",
		Expired:     "Cette page est restée ouverte trop longtemps. Veuillez revenir à la page d’où vous venez.",
		Unknown:     "Votre adresse réseau n’est pas connue ici : aucune vérification n’est possible. Contactez les responsables de ce site.",
		MFATitle:    "Encore une étape",
		MFAText:     "Un second facteur est nécessaire pour cette connexion. Veuillez la terminer ; d’ici là, vous n’êtes pas connecté.",
		MFANone:     "Un second facteur est nécessaire pour cette connexion, et ce site ne vous en a demandé aucun. Connectez-vous depuis un appareil déjà utilisé, ou contactez les responsables de ce site.", //nolint:misspell // French
	},
	{
		Lang: "es", Title: "Un momento, por favor", Trouble: "No ha funcionado", Home: "A la página de inicio", //nolint:misspell // Spanish
		Text:     "Antes de continuar, su navegador resuelve un pequeño cálculo que frena a los programas que prueban contraseñas. No tiene que hacer nada.", //nolint:misspell // Spanish
		Asked:    "Antes de continuar, demuestre que no es un programa que prueba contraseñas.",
		Posted:   "Lo que escribió no se comprobó ni se guardó. Escríbalo de nuevo después.",
		NoScript: "Esta comprobación necesita JavaScript. Actívelo para este sitio y vuelva a cargar la página.",
		Progress: "Avance de la comprobación", Again: "Intentar de nuevo", Go: "Continuar",
		Working: "Su navegador está trabajando. Tarda unos segundos.", Loading: "La comprobación se está cargando.",
		Please: "Responda a la pregunta de arriba.", Checking: "Se está comprobando la respuesta.",
		Done: "Gracias, eso es todo", Going: "Ahora vuelve a la página.", Back: "Ya puede volver atrás.",
		Refused: "La respuesta no se aceptó. Inténtelo de nuevo.", Network: "Se perdió la conexión. Inténtelo de nuevo.",
		Broken:      "La comprobación no es posible en este momento. Inténtelo de nuevo dentro de un minuto.", //nolint:misspell // Spanish
		Unreachable: "Su navegador no puede cargar la comprobación. Permítala si usa un bloqueador de contenidos, o pruebe con otra red.",
		Invalid:     "Este enlace no es válido. Vuelva a la página de la que venía.",
		Expired:     "Esta página estuvo abierta demasiado tiempo. Vuelva a la página de la que venía.",
		Unknown:     "Aquí no se conoce su dirección de red, así que no es posible comprobarle. Póngase en contacto con los responsables de este sitio.",
		MFATitle:    "Un paso más",
		MFAText:     "Este inicio de sesión necesita un segundo factor. Complételo; hasta entonces no ha iniciado sesión.",
		MFANone:     "Este inicio de sesión necesita un segundo factor y este sitio no le ha pedido ninguno. Inicie sesión desde un dispositivo que ya haya usado, o póngase en contacto con los responsables de este sitio.",
	},
}
