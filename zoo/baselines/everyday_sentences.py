"""Sentences as people write them, in English and French, by kind; written for this project, in no training data."""

from __future__ import annotations

_NUMBERS = """
I have 37 books. | J'ai 37 livres.
My train leaves at 17:45. | Mon train part à 17 h 45.
She was born in 1987. | Elle est née en 1987.
The ticket costs 24 euros. | Le billet coûte 24 euros.
We walked 12 kilometers. | Nous avons marché 12 kilomètres.
Call me at 555-0199. | Appelle-moi au 555-0199.
There are 1,250 people here. | Il y a 1 250 personnes ici.
He weighs 82 kilos. | Il pèse 82 kilos.
It is 28 degrees today. | Il fait 28 degrés aujourd'hui.
I paid 149.99 dollars. | J'ai payé 149,99 dollars.
The house was built in 1764. | La maison a été construite en 1764.
My room number is 418. | Mon numéro de chambre est le 418.
They have 9 children. | Ils ont 9 enfants.
We need 600 grams of flour. | Nous avons besoin de 600 grammes de farine.
The bus arrives at 8:20. | Le bus arrive à 8 h 20.
He ran 100 meters in 13 seconds. | Il a couru 100 mètres en 13 secondes.
Turn to page 212. | Allez à la page 212.
The population is 48,000. | La population est de 48 000 habitants.
I am 34 years old. | J'ai 34 ans.
It took us 45 minutes. | Cela nous a pris 45 minutes.
The war ended in 1918. | La guerre s'est terminée en 1918.
Only 16% of them agreed. | Seulement 16% d'entre eux étaient d'accord.
Please wait 15 minutes. | Veuillez attendre 15 minutes.
The answer is 42. | La réponse est 42.
We sold 730 cars last year. | Nous avons vendu 730 voitures l'année dernière.
The meeting is on May 21. | La réunion est le 21 mai.
He has lived here for 11 years. | Il vit ici depuis 11 ans.
I drank 2.5 liters of water. | J'ai bu 2,5 litres d'eau.
Bring 6 eggs and 3 apples. | Apporte 6 œufs et 3 pommes.
The flight lasts 14 hours. | Le vol dure 14 heures.
The store opens at 9:30. | Le magasin ouvre à 9 h 30.
My grandfather died in 1999. | Mon grand-père est mort en 1999.
There were 27 students in the class. | Il y avait 27 élèves dans la classe.
The bridge is 340 meters long. | Le pont fait 340 mètres de long.
I need 5 more days. | J'ai besoin de 5 jours de plus.
The code is 7391. | Le code est 7391.
It cost me 2,000 dollars. | Ça m'a coûté 2 000 dollars.
He scored 31 points. | Il a marqué 31 points.
We have been married for 18 years. | Nous sommes mariés depuis 18 ans.
The tower is 96 meters high. | La tour fait 96 mètres de haut.
Take 2 of these pills every 8 hours. | Prenez 2 de ces comprimés toutes les 8 heures.
The lake is 20 miles from here. | Le lac est à 20 milles d'ici.
Chapter 13 is very long. | Le chapitre 13 est très long.
She can type 75 words a minute. | Elle peut taper 75 mots par minute.
I saw this film in 2009. | J'ai vu ce film en 2009.
The company has 85 employees. | L'entreprise a 85 employés.
We found 4 keys and 19 coins. | Nous avons trouvé 4 clés et 19 pièces.
The temperature fell to 17 degrees. | La température est tombée à 17 degrés.
It happened in 1492. | C'est arrivé en 1492.
About 70% of the earth is water. | Environ 70% de la terre est de l'eau.
I wake up at 6:15 every day. | Je me réveille à 6 h 15 tous les jours.
The box contains 144 pencils. | La boîte contient 144 crayons.
He borrowed 350 euros from me. | Il m'a emprunté 350 euros.
Our team won 3 to 1. | Notre équipe a gagné 3 à 1.
You have 10 new messages. | Vous avez 10 nouveaux messages.
The museum closed in 2016. | Le musée a fermé en 2016.
My father is 63. | Mon père a 63 ans.
I read 52 books a year. | Je lis 52 livres par an.
The train was 25 minutes late. | Le train avait 25 minutes de retard.
Room 1207 is on the left. | La chambre 1207 est à gauche.
"""
_NAMES = """
My name is Priya. | Je m'appelle Priya.
Siobhan is my sister. | Siobhan est ma sœur.
I live in Reykjavik. | J'habite à Reykjavik.
Have you seen Anselm today? | As-tu vu Anselm aujourd'hui ?
We went to Ljubljana last summer. | Nous sommes allés à Ljubljana l'été dernier.
Kowalski called this morning. | Kowalski a appelé ce matin.
I work for Nordheim. | Je travaille pour Nordheim.
She met Oyelaran at school. | Elle a rencontré Oyelaran à l'école.
Mr. Petrov is a teacher. | M. Petrov est professeur.
Where does Katsumi live? | Où habite Katsumi ?
I bought this in Zagreb. | J'ai acheté ceci à Zagreb.
Leticia doesn't like coffee. | Leticia n'aime pas le café.
Let's go to Montpellier. | Allons à Montpellier.
Ingrid and Tariq are here. | Ingrid et Tariq sont ici.
I saw Beyoncé on television. | J'ai vu Beyoncé à la télévision.
Bartholomew is very tall. | Bartholomew est très grand.
Is Mehmet coming with us? | Est-ce que Mehmet vient avec nous ?
My brother lives in Minneapolis. | Mon frère vit à Minneapolis.
Do you know Svetlana? | Connais-tu Svetlana ?
I gave the book to Dimitri. | J'ai donné le livre à Dimitri.
Hamish is a good cook. | Hamish est un bon cuisinier.
We arrived in Nairobi at night. | Nous sommes arrivés à Nairobi de nuit.
Rosalind bought a new car. | Rosalind a acheté une nouvelle voiture.
The president met Abdullahi. | Le président a rencontré Abdullahi.
I miss Valparaiso. | Valparaiso me manque.
Give it to Fatoumata. | Donne-le à Fatoumata.
Have you ever been to Hokkaido? | Es-tu déjà allé à Hokkaido ?
Guillermo wants to sleep. | Guillermo veut dormir.
Nobody knows Thorvald. | Personne ne connaît Thorvald.
Mrs. Nakamura is a doctor. | Mme Nakamura est médecin.
The train to Wolverhampton is late. | Le train pour Wolverhampton est en retard.
I love Jelena. | J'aime Jelena.
Esperanza can swim very well. | Esperanza sait très bien nager.
He was born in Gdansk. | Il est né à Gdansk.
They called their dog Biscotto. | Ils ont appelé leur chien Biscotto.
Did Aurelio call you? | Est-ce qu'Aurelio t'a appelé ?
We played chess with Wanjiru. | Nous avons joué aux échecs avec Wanjiru.
Xavier broke the window. | Xavier a cassé la fenêtre.
I can't find Eleanor. | Je ne trouve pas Eleanor.
The plane landed in Islamabad. | L'avion a atterri à Islamabad.
Ludmila and I are friends. | Ludmila et moi sommes amis.
I sold my car to Henrik. | J'ai vendu ma voiture à Henrik.
Cordelia is reading a book. | Cordelia lit un livre.
My parents live near Dunedin. | Mes parents vivent près de Dunedin.
I waited for Stanislav. | J'ai attendu Stanislav.
Radhika has two children. | Radhika a deux enfants.
I am reading a book by Achebe. | Je lis un livre d'Achebe.
Ask Nikolai. | Demande à Nikolai.
The hotel is in Cartagena. | L'hôtel est à Cartagena.
Yevgenia works in a bank. | Yevgenia travaille dans une banque.
Have you met Mrs. Okafor? | As-tu rencontré Mme Okafor ?
Tell Genevieve the truth. | Dis la vérité à Genevieve.
I studied in Heidelberg. | J'ai étudié à Heidelberg.
Solveig lost her keys. | Solveig a perdu ses clés.
They moved to Albuquerque. | Ils ont déménagé à Albuquerque.
Alejandra will help you. | Alejandra va t'aider.
We listened to Coltrane. | Nous avons écouté Coltrane.
Murakami wrote this book. | Murakami a écrit ce livre.
I will never forget Kathmandu. | Je n'oublierai jamais Kathmandu.
Is this Bronwen's house? | Est-ce la maison de Bronwen ?
"""
_CAPITALS = """
I AM HUNGRY. | J'AI FAIM.
WHERE ARE YOU? | OÙ ES-TU ?
HELP ME! | AIDE-MOI !
I DON'T KNOW. | JE NE SAIS PAS.
WHAT TIME IS IT? | QUELLE HEURE EST-IL ?
STOP TALKING! | ARRÊTE DE PARLER !
HE IS MY BROTHER. | C'EST MON FRÈRE.
I LOVE YOU. | JE T'AIME.
OPEN THE DOOR. | OUVRE LA PORTE.
IT IS RAINING. | IL PLEUT.
THIS IS MY HOUSE. | C'EST MA MAISON.
WE ARE VERY TIRED. | NOUS SOMMES TRÈS FATIGUÉS.
DO YOU SPEAK FRENCH? | PARLEZ-VOUS FRANÇAIS ?
I LOST MY KEY. | J'AI PERDU MA CLÉ.
SHE IS A DOCTOR. | ELLE EST MÉDECIN.
THEY LIVE IN PARIS. | ILS VIVENT À PARIS.
THE WATER IS COLD. | L'EAU EST FROIDE.
I CAN'T SLEEP. | JE N'ARRIVE PAS À DORMIR.
DON'T TOUCH THAT. | NE TOUCHE PAS À ÇA.
THE FOOD WAS GOOD. | LA NOURRITURE ÉTAIT BONNE.
"""
_WORDS = """
yes | oui
no | non
house | maison
water | eau
Thanks! | Merci !
cat | chat
Monday | lundi
tomorrow | demain
Germany | Allemagne
Hello! | Bonjour !
always | toujours
red | rouge
bread | pain
sister | sœur
yesterday | hier
why? | pourquoi ?
money | argent
school | école
Really? | Vraiment ?
never | jamais
"""
_PARAGRAPHS = """
Hello. How are you? | Bonjour. Comment vas-tu ?
I am tired. I want to sleep. | Je suis fatigué. Je veux dormir.
It is late. We have to go home. Are you ready? | Il est tard. Nous devons rentrer. Es-tu prêt ?
I have a dog. He is very old. He sleeps all day. | J'ai un chien. Il est très vieux. Il dort toute la journée.
Where is the station? I am lost. | Où est la gare ? Je suis perdu.
Don't worry! Everything is fine. | Ne t'inquiète pas ! Tout va bien.
My brother is ill. He is in bed. | Mon frère est malade. Il est au lit.
She called me yesterday. She was very happy. | Elle m'a appelé hier. Elle était très heureuse.
What do you want? Tell me. | Que veux-tu ? Dis-moi.
I like tea. I don't like coffee. | J'aime le thé. Je n'aime pas le café.
The weather is beautiful. Let's go to the beach. | Il fait beau. Allons à la plage.
I bought a new car. It is red. | J'ai acheté une nouvelle voiture. Elle est rouge.
Wait! I forgot my keys. | Attends ! J'ai oublié mes clés.
We arrived this morning. The hotel is nice. | Nous sommes arrivés ce matin. L'hôtel est bien.
He doesn't speak French. He speaks English. | Il ne parle pas français. Il parle anglais.
I can't come today. I have too much work. | Je ne peux pas venir aujourd'hui. J'ai trop de travail.
Who is that man? I have never seen him before. | Qui est cet homme ? Je ne l'ai jamais vu avant.
The train is late. We will wait here. | Le train est en retard. Nous attendrons ici.
I read your letter. Thank you very much. | J'ai lu ta lettre. Merci beaucoup.
Close the window. It is cold. | Ferme la fenêtre. Il fait froid.
"""
_PLAIN = """
could you help me please | pouvez-vous m'aider s'il vous plaît
i don't understand what you mean | je ne comprends pas ce que tu veux dire
where can i buy a ticket | où puis-je acheter un billet
It was so cold that we stayed at home all day. | Il faisait si froid que nous sommes restés à la maison.
I would like to book a table for tonight. | J'aimerais réserver une table pour ce soir.
My phone doesn't work anymore. | Mon téléphone ne marche plus.
She said she would come back next week. | Elle a dit qu'elle reviendrait la semaine prochaine.
I left my umbrella on the bus. | J'ai laissé mon parapluie dans le bus.
Could you speak more slowly? | Pourriez-vous parler plus lentement ?
If it rains tomorrow, we will stay home. | S'il pleut demain, nous resterons à la maison.
I haven't eaten anything since this morning. | Je n'ai rien mangé depuis ce matin.
The children are playing in the garden. | Les enfants jouent dans le jardin.
How much does this cost? | Combien ça coûte ?
I think you should see a doctor. | Je pense que tu devrais voir un médecin.
He was reading a book when I came in. | Il lisait un livre quand je suis entré.
We have been waiting for an hour. | Nous attendons depuis une heure.
This is the best cake I have ever eaten. | C'est le meilleur gâteau que j'aie jamais mangé.
I forgot to turn off the light. | J'ai oublié d'éteindre la lumière.
There is nobody in the house. | Il n'y a personne dans la maison.
Can I pay by credit card? | Puis-je payer par carte de crédit ?
"""


def _pairs(block: str) -> list[tuple[str, str]]:
    lines = (line.split(" | ") for line in block.strip().splitlines())
    return [(english, french) for english, french in lines]


EVERYDAY: dict[str, list[tuple[str, str]]] = {
    "numbers": _pairs(_NUMBERS),
    "names": _pairs(_NAMES),
    "capitals": _pairs(_CAPITALS),
    "words": _pairs(_WORDS),
    "paragraphs": _pairs(_PARAGRAPHS),
    "plain": _pairs(_PLAIN),
}
"""Pairs (English, French) by kind: sentences with numbers and with names, in capitals, of one word, several sentences,
and others."""
